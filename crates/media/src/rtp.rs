//! The RTP header (RFC 3550 section 5.1), read in place and never copied.
use std::ops::Range;

/// Bytes of the fixed header.
pub const FIXED_HEADER: usize = 12;
/// Payload types that mark RTCP packet types 200 to 204 when both share a port (RFC 5761 section 4).
const RTCP_PAYLOAD_TYPES: Range<u8> = 72..77;

/// Why a datagram is no RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Shorter than its header says.
    #[error("shorter than its header says")]
    Short,
    /// Not version 2.
    #[error("not version 2")]
    Version,
    /// The padding count is zero or larger than the payload.
    #[error("impossible padding")]
    Padding,
    /// An RTCP packet on the RTP port.
    #[error("RTCP on the RTP port")]
    Rtcp,
}

/// The parsed header of one packet, and where its payload lies.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |V=2|P|X|  CC   |M|     PT      |       sequence number         |
/// |                           timestamp                           |
/// |           synchronization source (SSRC) identifier            |
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The marker bit.
    pub marker: bool,
    /// The payload type, 0 to 127.
    pub payload_type: u8,
    /// The sequence number.
    pub sequence: u16,
    /// The media timestamp in units of the codec's clock rate.
    pub timestamp: u32,
    /// The synchronization source.
    pub ssrc: u32,
    /// Where the payload lies in the datagram, padding left out.
    pub payload: Range<usize>,
}

/// Reads the header of `packet`.
pub fn parse(packet: &[u8]) -> Result<Header, Malformed> {
    let fixed: &[u8; FIXED_HEADER] = packet.first_chunk().ok_or(Malformed::Short)?;
    if fixed[0] >> 6 != 2 {
        return Err(Malformed::Version);
    }
    let payload_type = fixed[1] & 0x7F;
    if RTCP_PAYLOAD_TYPES.contains(&payload_type) {
        return Err(Malformed::Rtcp);
    }
    Ok(Header {
        marker: fixed[1] & 0x80 != 0,
        payload_type,
        sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
        timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
        ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        payload: payload_range(packet, fixed[0])?,
    })
}

/// Writes another payload type into a packet that [`parse`] accepted; marker and all else are kept.
pub fn set_payload_type(packet: &mut [u8], payload_type: u8) {
    if let Some(byte) = packet.get_mut(1) {
        *byte = (*byte & 0x80) | (payload_type & 0x7F);
    }
}

/// Where the payload of a packet of version 2 begins: behind sources and extension. `None` when it is shorter than its
/// header says. Padding is not looked at, for it may be encrypted.
pub fn payload_start(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    let mut start = FIXED_HEADER + 4 * usize::from(first & 0x0F);
    if first & 0x10 != 0 {
        let words = packet.get(start + 2..start + 4)?;
        start += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    (first >> 6 == 2 && start <= packet.len()).then_some(start)
}

/// The 32 bits at a place; 0 behind the end.
pub fn word(packet: &[u8], at: usize) -> u32 {
    let bytes = packet.get(at..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// The source of a packet that [`payload_start`] accepted.
pub fn ssrc(packet: &[u8]) -> u32 {
    word(packet, 8)
}

/// The number of a packet that [`payload_start`] accepted.
pub fn sequence(packet: &[u8]) -> u16 {
    word(packet, 0) as u16
}

/// Writes another source into a packet that [`payload_start`] accepted.
pub fn set_ssrc(packet: &mut [u8], ssrc: u32) {
    if let Some(bytes) = packet.get_mut(8..12) {
        bytes.copy_from_slice(&ssrc.to_be_bytes());
    }
}

fn payload_range(packet: &[u8], first: u8) -> Result<Range<usize>, Malformed> {
    let start = payload_start(packet).ok_or(Malformed::Short)?;
    let mut end = packet.len();
    if first & 0x20 != 0 {
        let padding = usize::from(packet[end - 1]);
        if padding == 0 || padding > end - start {
            return Err(Malformed::Padding);
        }
        end -= padding;
    }
    Ok(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(first: u8, second: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![
            first, second, 0x12, 0x34, 0, 0, 0, 160, 0xDE, 0xAD, 0xBE, 0xEF,
        ];
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn reads_a_plain_packet() {
        let header = parse(&packet(0x80, 0x88, &[1, 2, 3])).unwrap();
        assert_eq!(
            (header.marker, header.payload_type, header.sequence),
            (true, 8, 0x1234)
        );
        assert_eq!(
            (header.timestamp, header.ssrc, header.payload),
            (160, 0xDEAD_BEEF, 12..15)
        );
    }

    #[test]
    fn skips_csrc_extension_and_padding() {
        let rest = [9, 9, 9, 9, 0xBE, 0xDE, 0, 1, 7, 7, 7, 7, 42, 0, 2];
        let header = parse(&packet(0xB1, 0, &rest)).unwrap();
        assert_eq!(header.payload, 24..25);
    }

    #[test]
    fn refuses_what_does_not_add_up() {
        assert_eq!(parse(&[0x80; 11]), Err(Malformed::Short));
        assert_eq!(parse(&packet(0x40, 0, &[])), Err(Malformed::Version));
        assert_eq!(parse(&packet(0x8F, 0, &[])), Err(Malformed::Short));
        assert_eq!(parse(&packet(0x90, 0, &[0, 0])), Err(Malformed::Short));
        assert_eq!(
            parse(&packet(0x90, 0, &[0, 0, 0xFF, 0xFF])),
            Err(Malformed::Short)
        );
        assert_eq!(parse(&packet(0xA0, 0, &[1, 2, 0])), Err(Malformed::Padding));
        assert_eq!(parse(&packet(0xA0, 0, &[1, 2, 4])), Err(Malformed::Padding));
        assert_eq!(parse(&packet(0x80, 200, &[0])), Err(Malformed::Rtcp));
        assert_eq!(parse(&packet(0xA0, 0, &[])), Err(Malformed::Padding));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_lie_inside(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(header) = parse(&bytes) {
                prop_assert!(header.payload.start <= header.payload.end);
                prop_assert!(header.payload.end <= bytes.len());
            }
        }

        #[test]
        fn a_new_payload_type_changes_nothing_else(bytes in proptest::collection::vec(any::<u8>(), 12..60), pt in 0u8..72) {
            if let Ok(before) = parse(&bytes) {
                let mut changed = bytes.clone();
                set_payload_type(&mut changed, pt);
                let after = parse(&changed).unwrap();
                prop_assert_eq!(after.payload_type, pt);
                set_payload_type(&mut changed, before.payload_type);
                prop_assert_eq!(changed, bytes);
            }
        }
    }
}
