//! The Sidestream media engine.
//!
//! RTP legs are relayed at once and bit for bit; taps behind the relay turn each side's packets into
//! the frames of a media stream. A call lives on one worker thread for its whole life. Nothing in this
//! crate knows Python.

pub mod calendar;
pub mod call;
pub mod clock;
pub mod codec;
pub mod connector;
pub mod dtmf;
pub mod engine;
pub mod error;
pub mod events;
pub mod fork;
pub mod formats;
pub mod leg;
pub mod level;
pub mod memory;
pub mod orders;
pub mod pool;
pub mod ports;
pub mod prefetch;
pub mod queue;
pub mod random;
pub mod registry;
pub mod reports;
pub mod rtcp;
pub mod rtp;
pub mod sequence;
pub mod source_lock;
pub mod srtp;
pub mod stats;
pub mod stream;
pub mod tally;
pub mod tap;
pub mod wake;
pub mod worker;
pub mod ws;
