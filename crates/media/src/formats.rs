//! What the packets of one leg are by their payload type, and as what they go to the other leg.
use crate::orders::LegCodec;
use crate::tap::TapCodec;

/// Payload types of RTP: seven bits.
const PAYLOAD_TYPES: u8 = 128;
/// Numbers from here on mean what was agreed (RFC 3551 section 6); those below mean the same to everyone.
const FIRST_DYNAMIC: u8 = 96;
/// The clock rate of audio when nothing was agreed.
const USUAL_CLOCK_RATE: u32 = 8_000;

/// The meaning of one payload type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// What a tap makes of it. A type that was not agreed on is nothing for the ear.
    pub codec: TapCodec,
    /// The payload type on the other leg; none when it has no such format.
    pub relay_as: Option<u8>,
}

/// The meanings of all payload types of packets that come from one leg: those that mean something in a short list, for
/// a table of all would be cold memory at every packet.
#[derive(Debug, Clone)]
pub struct FormatTable {
    /// The type that was asked for last, for it will be asked for next.
    recent: (u8, Format),
    known: Vec<(u8, Format)>,
    unknown: Format,
}

impl FormatTable {
    /// The table of a leg on which nothing was agreed.
    pub fn empty() -> Self {
        Self::new(&[], &[])
    }

    /// The table of a leg with `own` formats, of a call whose other leg has those `across`.
    pub fn new(own: &[LegCodec], across: &[LegCodec]) -> Self {
        let unknown = Format::unknown(own);
        let mut table = Self {
            recent: (PAYLOAD_TYPES, unknown),
            known: Vec::with_capacity(own.len() + across.len()),
            unknown,
        };
        for codec in across
            .iter()
            .filter(|codec| codec.remote_pt < FIRST_DYNAMIC)
        {
            table.set(
                codec.remote_pt,
                Format {
                    relay_as: Some(codec.remote_pt),
                    ..unknown
                },
            );
        }
        for (index, codec) in own.iter().enumerate() {
            if codec.local_pt >= PAYLOAD_TYPES {
                continue;
            }
            let same = |other: &&LegCodec| other.is_same_format(codec);
            // A format listed twice, with different parameters, is matched in the order of the lists.
            let nth = own[..index].iter().filter(same).count();
            let format = Format {
                codec: codec.tap_codec(),
                relay_as: across
                    .iter()
                    .filter(same)
                    .nth(nth)
                    .map(|other| other.remote_pt),
            };
            table.set(codec.local_pt, format);
        }
        table.known.shrink_to_fit();
        table
    }

    /// The meaning of a payload type.
    pub fn get(&mut self, payload_type: u8) -> Format {
        let payload_type = payload_type % PAYLOAD_TYPES;
        if self.recent.0 != payload_type {
            self.recent = (payload_type, self.find(payload_type));
        }
        self.recent.1
    }

    fn find(&self, payload_type: u8) -> Format {
        let known = self.known.iter().find(|(known, _)| *known == payload_type);
        known.map_or(self.unknown, |(_, format)| *format)
    }

    fn set(&mut self, payload_type: u8, format: Format) {
        self.known.retain(|(known, _)| *known != payload_type);
        self.known.push((payload_type, format));
    }
}

impl Format {
    fn unknown(own: &[LegCodec]) -> Self {
        let clock_rate = own
            .first()
            .map_or(USUAL_CLOCK_RATE, |codec| codec.clock_rate);
        Self {
            codec: TapCodec::Noise { clock_rate },
            relay_as: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codec(name: &str, clock_rate: u32, local_pt: u8, remote_pt: u8) -> LegCodec {
        LegCodec {
            name: name.into(),
            clock_rate,
            channels: 1,
            local_pt,
            remote_pt,
        }
    }

    #[test]
    fn numbers_are_mapped_by_format() {
        let own = [
            codec("PCMA", 8000, 8, 8),
            codec("telephone-event", 8000, 101, 101),
            codec("telephone-event", 48_000, 102, 102),
        ];
        let across = [
            codec("pcma", 8000, 8, 8),
            codec("telephone-event", 48_000, 97, 101),
            codec("telephone-event", 8000, 96, 110),
        ];
        let mut table = FormatTable::new(&own, &across);
        assert_eq!(table.get(8).relay_as, Some(8));
        assert_eq!(table.get(101).relay_as, Some(110));
        assert_eq!(table.get(102).relay_as, Some(101));
        assert_eq!(table.get(101).codec, TapCodec::Event { clock_rate: 8000 });
        let mut back = FormatTable::new(&across, &own);
        assert_eq!(back.get(96).relay_as, Some(101));
    }

    #[test]
    fn a_type_nobody_agreed_on_goes_nowhere() {
        let own = [codec("PCMU", 8000, 0, 0)];
        let across = [
            codec("PCMU", 8000, 0, 0),
            codec("PCMA", 8000, 8, 8),
            codec("x", 16_000, 99, 99),
        ];
        let mut table = FormatTable::new(&own, &across);
        assert_eq!(table.get(18).relay_as, None);
        // 99 might mean anything on this leg, 8 can only be PCMA.
        assert_eq!(table.get(99).relay_as, None);
        assert_eq!(table.get(8).relay_as, Some(8));
        assert_eq!(table.get(8).codec, TapCodec::Noise { clock_rate: 8000 });
    }

    #[test]
    fn a_format_listed_twice_keeps_its_order() {
        let own = [codec("G722", 8000, 9, 9), codec("G722", 8000, 100, 100)];
        let across = [codec("G722", 8000, 111, 111), codec("G722", 8000, 112, 112)];
        let mut table = FormatTable::new(&own, &across);
        assert_eq!(table.get(9).relay_as, Some(111));
        assert_eq!(table.get(100).relay_as, Some(112));
    }

    #[test]
    fn a_format_that_the_other_leg_lacks_is_heard_only_by_taps() {
        let mut table = FormatTable::new(&[codec("PCMU", 8000, 0, 0)], &[]);
        assert_eq!(table.get(0).relay_as, None);
        assert!(matches!(table.get(0).codec, TapCodec::Audio(_)));
    }
}
