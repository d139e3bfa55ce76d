//! Taps: from a leg's packets to the frames of a stream.
pub mod gap;
mod join;
pub(crate) mod mapping;
pub(crate) mod packet;
mod reorder;
pub mod spec;
pub mod stream;
pub(crate) mod timeline;
mod track;
pub(crate) mod transcode;

pub use gap::{Cause, Gap};
pub use spec::{
    ChannelCounters, ChannelSpec, Frame, Layout, StreamSpec, TapCodec, TapPacket, TapSink, NEVER,
};
pub use stream::StreamTap;
