//! Opens what comes.
use super::cipher::{Place, Session};
use super::index::{Window, RTCP_PACKETS, RTP_PACKETS};
use super::key::MasterKey;
use super::{Refusal, RTCP_CLEAR};
use crate::clock::{Nanos, SECOND};
use crate::rtp;

/// Sources whose numbers are remembered; the one that was silent the longest makes room.
const SOURCES: usize = 64;
/// How long packets under the former key are awaited after the first under the new one.
const GRACE: Nanos = 2 * SECOND;
/// How long the new key may not be used at all: as long as the answer that carries it is repeated (RFC 3261 timer H).
const CHANGE_MAX: Nanos = 32 * SECOND;
/// The longest packet of which a second opening is tried.
const KEPT: usize = 2048;

/// What was there of one source.
#[derive(Debug, Clone, Copy)]
struct Source {
    ssrc: u32,
    window: Window,
    used: u64,
}

/// A key with what came under it.
#[derive(Debug)]
struct Epoch {
    key: MasterKey,
    session: Session,
    rtp: Vec<Source>,
    rtcp: Vec<Source>,
    packets: u64,
    reports: u64,
}

impl Epoch {
    fn new(key: MasterKey) -> Self {
        Self {
            session: Session::new(&key),
            key,
            rtp: Vec::with_capacity(4),
            rtcp: Vec::with_capacity(2),
            packets: 0,
            reports: 0,
        }
    }

    fn window(&self, ssrc: u32) -> Option<&Window> {
        find(&self.rtp, ssrc)
    }
}

/// A key that was agreed on before.
#[derive(Debug)]
struct Former {
    epoch: Epoch,
    until: Nanos,
}

/// See the module. After a change of the key, packets under the former one are taken as long as they may be on their
/// way.
#[derive(Debug)]
pub struct Unprotector {
    current: Epoch,
    former: Option<Box<Former>>,
}

/// An opening to be tried: with which key, as which index.
#[derive(Debug, Clone, Copy)]
struct Try {
    former: bool,
    index: u64,
}

impl Unprotector {
    /// Opens what was protected with a key.
    pub fn new(key: MasterKey) -> Self {
        Self {
            current: Epoch::new(key),
            former: None,
        }
    }

    /// The key.
    pub const fn key(&self) -> &MasterKey {
        &self.current.key
    }

    /// Whether packets under a former key are still opened.
    pub const fn is_changing(&self) -> bool {
        self.former.is_some()
    }

    /// Takes another key.
    pub fn rekey(&mut self, key: MasterKey, now: Nanos) {
        if key == self.current.key {
            return;
        }
        let epoch = std::mem::replace(&mut self.current, Epoch::new(key));
        let until = now + CHANGE_MAX;
        self.former = Some(Box::new(Former { epoch, until }));
    }

    /// Opens the RTP packet that `packet` is; returns the length that it had before it was protected. A refused packet
    /// is of no more use.
    pub fn open(&mut self, packet: &mut [u8], now: Nanos) -> Result<usize, Refusal> {
        self.forget(now);
        let start = rtp::payload_start(packet).ok_or(Refusal::Malformed)?;
        let (ssrc, sequence) = (rtp::ssrc(packet), rtp::sequence(packet));
        let (tries, replayed) = self.tries(ssrc, sequence);
        let mut spare = Spare::of(packet, self.count_tries(&tries));
        let mut refusal = if replayed {
            Refusal::Replayed
        } else {
            Refusal::Unauthentic
        };
        for each in tries.into_iter().flatten() {
            let Some(epoch) = self.epoch(each.former) else {
                continue;
            };
            if packet.len() < start + epoch.session.suite().rtp_tag() {
                refusal = Refusal::Malformed;
                continue;
            }
            if epoch.packets >= epoch.key.packets(RTP_PACKETS) {
                refusal = Refusal::Spent;
                continue;
            }
            spare.restore(packet);
            let place = Place {
                start,
                ssrc,
                index: each.index,
            };
            if let Some(length) = epoch.session.open_rtp(packet, place) {
                epoch.packets += 1;
                let used = epoch.packets;
                note(&mut epoch.rtp, ssrc, each.index, used);
                self.opened(each.former, now);
                return Ok(length);
            }
        }
        Err(refusal)
    }

    /// The openings that are worth trying, likeliest first; and whether the number was there before.
    fn tries(&self, ssrc: u32, sequence: u16) -> ([Option<Try>; 3], bool) {
        let mut replayed = false;
        let mut fresh = |former, index: Option<u64>, window: Option<&Window>| {
            let is_new = |index: &u64| window.is_none_or(|window| window.is_new(*index));
            let index = index.filter(is_new);
            replayed |= index.is_none();
            index.map(|index| Try { former, index })
        };
        let of_former = self.former.as_ref().map(|former| &former.epoch);
        let before = of_former.and_then(|epoch| epoch.window(ssrc));
        let first = u64::from(sequence);
        let tries = match self.current.window(ssrc) {
            Some(window) => [fresh(false, window.guess(sequence), Some(window)), None],
            // With a new key the rollover counter goes on (RFC 3711), or begins anew in a peer that has made all anew.
            None => match before.and_then(|window| window.guess(sequence)) {
                Some(guess) if guess != first => [
                    fresh(false, Some(guess), None),
                    fresh(false, Some(first), None),
                ],
                _ => [fresh(false, Some(first), None), None],
            },
        };
        let last = of_former.and_then(|_| {
            let index = before.map_or(Some(first), |window| window.guess(sequence));
            fresh(true, index, before)
        });
        ([tries[0], tries[1], last], replayed)
    }

    /// How many tries can spoil a packet before another one needs it.
    fn count_tries(&self, tries: &[Option<Try>; 3]) -> usize {
        let spoils = |each: &&Try| match &self.former {
            Some(former) if each.former => former.epoch.session.suite().is_aead(),
            _ => self.current.session.suite().is_aead(),
        };
        let total = tries.iter().flatten().count();
        let spoiling = tries.iter().flatten().filter(spoils).count();
        total.saturating_sub(1).min(spoiling)
    }

    fn epoch(&mut self, former: bool) -> Option<&mut Epoch> {
        if former {
            return self.former.as_mut().map(|former| &mut former.epoch);
        }
        Some(&mut self.current)
    }

    /// Opens the RTCP packet that `packet` is; returns the length that it had before it was protected.
    pub fn open_report(&mut self, packet: &mut [u8], now: Nanos) -> Result<usize, Refusal> {
        self.forget(now);
        let mut refusal = Refusal::Malformed;
        let former = self.former.is_some();
        let mut spare = Spare::of(packet, usize::from(former));
        for former in [false, true] {
            let Some(epoch) = self.epoch(former) else {
                break;
            };
            spare.restore(packet);
            match epoch.open_report(packet) {
                Ok(length) => {
                    self.opened(former, now);
                    return Ok(length);
                }
                Err(other) => refusal = other,
            }
        }
        Err(refusal)
    }

    /// Lets go of the former key some time after the new one is in use.
    fn opened(&mut self, with_former: bool, now: Nanos) {
        if let Some(former) = &mut self.former {
            if !with_former {
                former.until = former.until.min(now + GRACE);
            }
        }
    }

    fn forget(&mut self, now: Nanos) {
        if self
            .former
            .as_ref()
            .is_some_and(|former| former.until <= now)
        {
            self.former = None;
        }
    }
}

impl Epoch {
    fn open_report(&mut self, packet: &mut [u8]) -> Result<usize, Refusal> {
        let index = self.session.rtcp_index(packet).ok_or(Refusal::Malformed)?;
        let ssrc = rtp::word(packet, 4);
        if self.reports >= self.key.packets(RTCP_PACKETS) {
            return Err(Refusal::Spent);
        }
        if find(&self.rtcp, ssrc).is_some_and(|window| !window.is_new(index)) {
            return Err(Refusal::Replayed);
        }
        let place = Place {
            start: RTCP_CLEAR,
            ssrc,
            index,
        };
        let opened = self.session.open_rtcp(packet, place);
        let length = opened.ok_or(Refusal::Unauthentic)?;
        self.reports += 1;
        note(&mut self.rtcp, ssrc, index, self.reports);
        Ok(length)
    }
}

fn find(sources: &[Source], ssrc: u32) -> Option<&Window> {
    let found = sources.iter().find(|source| source.ssrc == ssrc);
    found.map(|source| &source.window)
}

/// Notes the index of an authentic packet.
fn note(sources: &mut Vec<Source>, ssrc: u32, index: u64, used: u64) {
    if let Some(source) = sources.iter_mut().find(|source| source.ssrc == ssrc) {
        source.window.note(index);
        source.used = used;
        return;
    }
    let source = Source {
        ssrc,
        window: Window::new(index),
        used,
    };
    if sources.len() < SOURCES {
        sources.push(source);
    } else if let Some(oldest) = sources.iter_mut().min_by_key(|source| source.used) {
        *oldest = source;
    }
}

/// A copy of a packet, where an opening that fails spoils it and another one is left.
struct Spare {
    bytes: Option<([u8; KEPT], usize)>,
}

impl Spare {
    fn of(packet: &[u8], needed: usize) -> Self {
        let fits = needed > 0 && packet.len() <= KEPT;
        Self {
            bytes: fits.then(|| {
                let mut bytes = [0; KEPT];
                bytes[..packet.len()].copy_from_slice(packet);
                (bytes, packet.len())
            }),
        }
    }

    fn restore(&mut self, packet: &mut [u8]) {
        if let Some((bytes, length)) = &self.bytes {
            packet.copy_from_slice(&bytes[..*length]);
        }
    }
}
