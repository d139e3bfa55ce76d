//! Taps: from a leg's packets to the frames of a stream.
pub mod gap;
mod join;
mod mapping;
mod packet;
mod reorder;
pub mod spec;
pub mod stream;
mod timeline;
mod track;
mod transcode;

pub use gap::{Cause, Gap};
pub use spec::{
    ChannelCounters, ChannelSpec, Frame, Layout, StreamSpec, TapCodec, TapPacket, TapSink, NEVER,
};
pub use stream::StreamTap;
