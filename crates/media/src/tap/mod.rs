//! Taps: from a leg's packets to the frames of a stream.
pub mod gap;
pub mod mapping;
pub mod timeline;
