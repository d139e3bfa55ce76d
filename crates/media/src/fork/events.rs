//! Telephone-events on their way to a recorder: the timestamps are the recording's, all else is the party's.
use super::agreed::Agreed;
use super::line::Outgoing;
use super::turn::{ForkPacket, Outlet, Wire};
use crate::dtmf::{EventBlock, BLOCK};

/// Remembers where an event was put, so that all packets of it carry one timestamp (RFC 4733 section 2.5.1.2)
/// however the mapping of audio moves meanwhile.
#[derive(Debug, Default)]
pub struct EventRelay {
    placed: Option<Placed>,
}

#[derive(Debug, Clone, Copy)]
struct Placed {
    ssrc: u32,
    timestamp: u32,
    position: i64,
}

impl EventRelay {
    /// The payload type under which the packet goes, if events are relayed and it is one.
    pub fn fit(packet: &ForkPacket<'_>, agreed: &Agreed) -> Option<u8> {
        agreed
            .event
            .filter(|_| EventBlock::parse(packet.media.payload).is_some())
    }

    /// Sends an event packet under `payload_type`; `position` is where an event goes that is not yet placed.
    pub fn send<O: Outlet>(
        &mut self,
        packet: &ForkPacket<'_>,
        payload_type: u8,
        position: i64,
        wire: &mut Wire<'_, O>,
    ) {
        let position = self.place(packet, position);
        let mut block = [0; BLOCK];
        wire.send(&Outgoing {
            payload_type,
            marker: packet.marker,
            behind: 0,
            timestamp: wire.line.timestamp(position),
            payload: scaled(packet, wire.line.rate(), &mut block),
        });
    }

    fn place(&mut self, packet: &ForkPacket<'_>, position: i64) -> i64 {
        let known = self.placed.filter(|placed| {
            placed.ssrc == packet.media.ssrc && placed.timestamp == packet.media.timestamp
        });
        let placed = known.unwrap_or(Placed {
            ssrc: packet.media.ssrc,
            timestamp: packet.media.timestamp,
            position,
        });
        self.placed = Some(placed);
        placed.position
    }
}

/// The payload with its duration in ticks of another clock.
fn scaled<'a>(packet: &ForkPacket<'a>, rate: u32, block: &'a mut [u8; BLOCK]) -> &'a [u8] {
    let own_rate = packet.media.codec.clock_rate();
    let Some(event) = EventBlock::parse(packet.media.payload).filter(|_| own_rate != rate) else {
        return packet.media.payload;
    };
    let ticks = u64::from(event.duration) * u64::from(rate) / u64::from(own_rate.max(1));
    let duration = u16::try_from(ticks).unwrap_or(u16::MAX).to_be_bytes();
    block[..2].copy_from_slice(&packet.media.payload[..2]);
    block[2..].copy_from_slice(&duration);
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fork::line::Line;
    use crate::fork::spec::tests::pcmu;
    use crate::random::Random;
    use crate::tap::{TapCodec, TapPacket};

    struct Kept(Vec<Vec<u8>>);

    impl Outlet for Kept {
        fn send(&mut self, packet: &[u8]) -> bool {
            self.0.push(packet.to_vec());
            true
        }
    }

    fn packet(clock_rate: u32, timestamp: u32, payload: &[u8]) -> ForkPacket<'_> {
        let media = TapPacket {
            codec: TapCodec::Event { clock_rate },
            ssrc: 1,
            sequence: 9,
            timestamp,
            payload,
        };
        ForkPacket {
            media,
            payload_type: 101,
            marker: true,
        }
    }

    fn sent(packets: &[(ForkPacket<'_>, i64)]) -> (Line, Vec<Vec<u8>>) {
        let mut line = Line::new(7, 0, &mut Random::seeded(1));
        let (mut relay, mut kept) = (EventRelay::default(), Kept(Vec::new()));
        let agreed = Agreed::of(&pcmu(20), true).unwrap();
        for (packet, position) in packets {
            let mut wire = Wire {
                agreed: &agreed,
                line: &mut line,
                outlet: &mut kept,
            };
            relay.send(packet, 96, *position, &mut wire);
        }
        (line, kept.0)
    }

    #[test]
    fn one_event_keeps_one_timestamp_and_its_payload() {
        let (line, sent) = sent(&[
            (packet(8000, 50, &[5, 10, 0, 160]), 1000),
            (packet(8000, 50, &[5, 138, 1, 64]), 1100),
            (packet(8000, 900, &[6, 10, 0, 160]), 1200),
        ]);
        assert_eq!(sent[0][4..8], line.timestamp(1000).to_be_bytes());
        assert_eq!(sent[1][4..8], sent[0][4..8]);
        assert_eq!(sent[2][4..8], line.timestamp(1200).to_be_bytes());
        assert_eq!(sent[1][12..], [5, 138, 1, 64]);
        assert_eq!(sent[0][1], 0x80 + 96);
    }

    #[test]
    fn durations_are_turned_to_the_recorders_clock() {
        let (_, sent) = sent(&[(packet(48_000, 50, &[5, 10, 0x96, 0]), 0)]);
        assert_eq!(sent[0][12..], [5, 10, 0x19, 0]);
    }
}
