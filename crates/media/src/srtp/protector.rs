//! Protects what is sent.
use super::cipher::{Place, Session};
use super::index::{Window, RTCP_PACKETS, RTP_PACKETS};
use super::key::{MasterKey, Suite};
use super::{Refusal, RTCP_CLEAR, TRAILER};
use crate::random::unforeseen_u64;
use crate::rtp;

/// Sources whose numbers are remembered; the one that was silent the longest makes room.
const SOURCES: usize = 64;

/// A source of ours, as it came from across.
#[derive(Debug, Clone, Copy)]
struct Source {
    ssrc: u32,
    /// The source that the party sees.
    wire: u32,
    window: Window,
    /// The number after a packet that lay far behind: if it comes, the source has begun anew.
    restart: Option<u16>,
    /// When it was last heard, in packets.
    used: u64,
}

/// A packet that was protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// Its length now.
    pub length: usize,
    /// The source that it now has.
    pub ssrc: u32,
}

/// See the module. No keystream is ever used twice: a number that a source repeats is refused, and a source that begins
/// anew, or comes back after it was forgotten, goes on under another name.
#[derive(Debug)]
pub struct Protector {
    key: MasterKey,
    session: Session,
    sources: Vec<Source>,
    /// Whether a source may have been here before without being remembered.
    forgot: bool,
    packets: u64,
    reports: u64,
}

impl Protector {
    /// Protects with a key that nothing else protects with.
    pub fn new(key: MasterKey) -> Self {
        Self {
            session: Session::new(&key),
            key,
            sources: Vec::with_capacity(4),
            forgot: false,
            packets: 0,
            reports: 0,
        }
    }

    /// The key.
    pub const fn key(&self) -> &MasterKey {
        &self.key
    }

    /// The suite.
    pub const fn suite(&self) -> Suite {
        self.session.suite()
    }

    /// Goes on with another key. The packets of a source keep their numbers; one whose numbers have rolled over goes on
    /// under another name, so that nobody has to guess whether its rollover counter begins anew.
    pub fn rekey(&mut self, key: MasterKey) {
        if key == self.key {
            return;
        }
        let mut fresh = Self::new(key);
        for source in &self.sources {
            let newest = source.window.newest();
            let rolled = newest >> 16 != 0;
            fresh.sources.push(Source {
                wire: if rolled { another() } else { source.wire },
                window: Window::new(newest & 0xFFFF),
                ..*source
            });
        }
        fresh.forgot = self.forgot;
        *self = fresh;
    }

    /// Protects the RTP packet in the first `length` bytes of `buffer`, which has [`TRAILER`] more bytes at least.
    pub fn seal(&mut self, buffer: &mut [u8], length: usize) -> Result<Sealed, Refusal> {
        if self.packets >= self.key.packets(RTP_PACKETS) {
            return Err(Refusal::Spent);
        }
        let total = length + self.suite().rtp_tag();
        let packet = buffer.get_mut(..total).ok_or(Refusal::Malformed)?;
        let start = packet
            .get(..length)
            .and_then(rtp::payload_start)
            .ok_or(Refusal::Malformed)?;
        let (ssrc, index) = self.place(rtp::ssrc(packet), rtp::sequence(packet))?;
        rtp::set_ssrc(packet, ssrc);
        self.session.seal_rtp(packet, Place { start, ssrc, index });
        Ok(Sealed {
            length: total,
            ssrc,
        })
    }

    /// The source and index under which a packet goes out.
    fn place(&mut self, ssrc: u32, sequence: u16) -> Result<(u32, u64), Refusal> {
        self.packets += 1;
        let used = self.packets;
        let Some(source) = self.sources.iter_mut().find(|source| source.ssrc == ssrc) else {
            let wire = if self.forgot { another() } else { ssrc };
            self.remember(Source {
                ssrc,
                wire,
                window: Window::new(u64::from(sequence)),
                restart: None,
                used,
            });
            return Ok((wire, u64::from(sequence)));
        };
        source.used = used;
        let guess = source.window.guess(sequence);
        if let Some(index) = guess.filter(|&index| source.window.is_new(index)) {
            source.window.note(index);
            source.restart = None;
            return Ok((source.wire, index));
        }
        let newest = source.window.newest();
        let repeated = guess.is_some_and(|index| newest - index < super::index::WINDOW);
        if !repeated && source.restart == Some(sequence) {
            source.wire = another();
            source.window = Window::new(u64::from(sequence));
            source.restart = None;
            return Ok((source.wire, u64::from(sequence)));
        }
        if !repeated {
            source.restart = Some(sequence.wrapping_add(1));
        }
        Err(Refusal::Replayed)
    }

    fn remember(&mut self, source: Source) {
        if self.sources.len() < SOURCES {
            self.sources.push(source);
            return;
        }
        self.forgot = true;
        if let Some(oldest) = self.sources.iter_mut().min_by_key(|source| source.used) {
            *oldest = source;
        }
    }

    /// Protects the RTCP packet in `packet`, and makes it longer by [`TRAILER`] bytes at most.
    pub fn seal_report(&mut self, packet: &mut Vec<u8>) -> Result<(), Refusal> {
        if packet.len() < RTCP_CLEAR {
            return Err(Refusal::Malformed);
        }
        if self.reports + 1 >= self.key.packets(RTCP_PACKETS) {
            return Err(Refusal::Spent);
        }
        self.reports += 1;
        packet.reserve(TRAILER);
        let place = Place {
            start: RTCP_CLEAR,
            ssrc: rtp::word(packet, 4),
            index: self.reports,
        };
        self.session.seal_rtcp(packet, place);
        Ok(())
    }
}

/// A source by chance.
fn another() -> u32 {
    unforeseen_u64() as u32
}
