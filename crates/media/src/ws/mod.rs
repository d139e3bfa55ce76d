//! The WebSocket client side (RFC 6455), without I/O: frames, masking, messages, the upgrade, and TLS settings.
pub mod frame;
pub mod handshake;
pub mod mask;
pub mod message;
pub mod tls;
