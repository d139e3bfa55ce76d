//! The stream plane: from the packets of a call's sides to messages on a WebSocket.
//!
//! Taps make frames ([`crate::tap`]); the composer makes them messages in the outbox; the link writes them. No call
//! ever waits, and every buffer is bounded.
mod bodies;
mod composer;
mod entry;
mod heartbeat;
mod ledger;
mod link;
mod media_stream;
mod outbox;
mod replay;
mod spec;
mod wire;

pub use media_stream::{MediaStream, SideReception, StreamCounters, StreamIds};
