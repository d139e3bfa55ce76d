//! One function for each target: it takes any bytes, and panics when the engine breaks a promise.
//!
//! `make fuzz` gives them to libFuzzer; `crates/media/tests/fuzz_corpus.rs` includes this module as well.
mod dtmf;
mod orders;
mod rtcp;
mod rtp;
mod srtp;
mod stream_text;
mod tap;
mod ws_frames;
mod ws_handshake;

pub use dtmf::dtmf;
pub use orders::orders;
pub use rtcp::rtcp;
pub use rtp::rtp;
pub use srtp::srtp;
pub use stream_text::stream_text;
pub use tap::tap;
pub use ws_frames::ws_frames;
pub use ws_handshake::ws_handshake;

/// A target's body.
pub type Body = fn(&[u8]);

/// Every target by the name of its corpus.
pub const ALL: &[(&str, Body)] = &[
    ("dtmf", dtmf),
    ("orders", orders),
    ("rtcp", rtcp),
    ("rtp", rtp),
    ("srtp", srtp),
    ("stream_text", stream_text),
    ("tap", tap),
    ("ws_frames", ws_frames),
    ("ws_handshake", ws_handshake),
];
