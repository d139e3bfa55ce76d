//! The stream plane: from the packets of a call's sides to messages on a WebSocket.
mod media_stream;
mod spec;

pub use media_stream::{MediaStream, SideReception, StreamCounters, StreamIds};
