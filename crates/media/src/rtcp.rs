//! RTCP compound packets (RFC 3550 section 6): reports, the canonical name, goodbye.
use crate::stats::ReportNumbers;

/// Packet types of RFC 3550 section 12.1.
mod packet_type {
    pub const SENDER_REPORT: u8 = 200;
    pub const RECEIVER_REPORT: u8 = 201;
    pub const SOURCE_DESCRIPTION: u8 = 202;
    pub const GOODBYE: u8 = 203;
}

const HEADER: usize = 4;
const SENDER_INFO: usize = 20;
const REPORT_BLOCK: usize = 24;
/// SDES item type of the canonical name (RFC 3550 section 6.5.1).
const SDES_CNAME: u8 = 1;
/// More packets than this in one datagram are no compound packet of a sane peer.
const MAX_PACKETS: usize = 32;

/// A compound packet that does not add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed RTCP packet")]
pub struct Malformed;

/// The sender's part of a sender report (RFC 3550 section 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// The sender.
    pub ssrc: u32,
    /// Its wall clock as 64-bit NTP timestamp.
    pub ntp: u64,
    /// The media timestamp at that instant.
    pub rtp_timestamp: u32,
    /// Packets sent since it began.
    pub packets: u32,
    /// Payload bytes sent since it began.
    pub octets: u32,
}

/// One report block (RFC 3550 section 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// What is reported.
    pub numbers: ReportNumbers,
    /// Middle 32 bits of the NTP timestamp of the last sender report received.
    pub last_report: u32,
    /// Time since then in 1/65536 s.
    pub delay: u32,
}

impl ReportBlock {
    /// The round trip in milliseconds, given the middle NTP bits of the arrival (RFC 3550 section 6.4.1).
    /// Nothing when the peer has had no sender report, or its numbers are impossible.
    pub fn round_trip_ms(&self, arrival: u32) -> Option<f64> {
        const ONE_MINUTE: u32 = 60 << 16;
        if self.last_report == 0 {
            return None;
        }
        let trip = arrival
            .wrapping_sub(self.last_report)
            .wrapping_sub(self.delay);
        (trip < ONE_MINUTE).then(|| f64::from(trip) * 1000.0 / 65_536.0)
    }
}

/// What one compound packet said that a leg cares for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compound {
    /// The sender report, if there was one.
    pub sender: Option<SenderInfo>,
    /// Report blocks of all reports.
    pub blocks: Vec<ReportBlock>,
    /// The peer says goodbye.
    pub goodbye: bool,
}

/// Reads a compound packet. Types it doesn't know are skipped by their length.
pub fn parse(datagram: &[u8]) -> Result<Compound, Malformed> {
    let mut compound = Compound::default();
    let mut rest = datagram;
    if rest.is_empty() {
        return Err(Malformed);
    }
    for _ in 0..MAX_PACKETS {
        if rest.is_empty() {
            return Ok(compound);
        }
        let (packet, after) = split_packet(rest)?;
        read_packet(packet, &mut compound)?;
        rest = after;
    }
    Err(Malformed)
}

fn split_packet(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let header: &[u8; HEADER] = bytes.first_chunk().ok_or(Malformed)?;
    if header[0] >> 6 != 2 {
        return Err(Malformed);
    }
    let length = HEADER + 4 * usize::from(u16::from_be_bytes([header[2], header[3]]));
    bytes.split_at_checked(length).ok_or(Malformed)
}

fn read_packet(packet: &[u8], compound: &mut Compound) -> Result<(), Malformed> {
    let count = usize::from(packet[0] & 0x1F);
    let body = &packet[HEADER..];
    match packet[1] {
        packet_type::SENDER_REPORT => {
            let info = body.get(..4 + SENDER_INFO).ok_or(Malformed)?;
            compound.sender = Some(read_sender(info));
            read_blocks(&body[4 + SENDER_INFO..], count, compound)
        }
        packet_type::RECEIVER_REPORT => {
            read_blocks(body.get(4..).ok_or(Malformed)?, count, compound)
        }
        packet_type::GOODBYE => {
            compound.goodbye = true;
            Ok(())
        }
        _ => Ok(()),
    }
}

fn read_sender(info: &[u8]) -> SenderInfo {
    SenderInfo {
        ssrc: word(info, 0),
        ntp: (u64::from(word(info, 1)) << 32) | u64::from(word(info, 2)),
        rtp_timestamp: word(info, 3),
        packets: word(info, 4),
        octets: word(info, 5),
    }
}

fn read_blocks(bytes: &[u8], count: usize, compound: &mut Compound) -> Result<(), Malformed> {
    if bytes.len() < count * REPORT_BLOCK {
        return Err(Malformed);
    }
    compound
        .blocks
        .extend(bytes.chunks_exact(REPORT_BLOCK).take(count).map(|block| {
            let loss = word(block, 1);
            let numbers = ReportNumbers {
                ssrc: word(block, 0),
                fraction_lost: (loss >> 24) as u8,
                // Sign-extend the low 24 bits.
                cumulative_lost: ((loss << 8) as i32) >> 8,
                highest: word(block, 2),
                jitter: word(block, 3),
            };
            ReportBlock {
                numbers,
                last_report: word(block, 4),
                delay: word(block, 5),
            }
        }));
    Ok(())
}

/// The big-endian word at `index`, or 0 beyond the end; callers have checked the length.
fn word(bytes: &[u8], index: usize) -> u32 {
    bytes[index * 4..]
        .first_chunk()
        .map_or(0, |chunk| u32::from_be_bytes(*chunk))
}

/// What a report that we send says.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// Our source on this leg.
    pub ssrc: u32,
    /// Present when media has been sent since the last report: then it is a sender report.
    pub sender: Option<SenderInfo>,
    /// What we hear from the peer.
    pub block: Option<ReportBlock>,
    /// The canonical name, at most 255 bytes of it are used.
    pub cname: &'a str,
    /// End with a goodbye.
    pub goodbye: bool,
}

/// Builds a compound packet: report, source description, and goodbye when asked (RFC 3550 section 6.1).
pub fn build(report: &Report<'_>, out: &mut Vec<u8>) {
    out.clear();
    let count = u8::from(report.block.is_some());
    if let Some(sender) = report.sender {
        push_header(
            out,
            count,
            packet_type::SENDER_REPORT,
            6 + 6 * u16::from(count),
        );
        push_words(
            out,
            &[sender.ssrc, (sender.ntp >> 32) as u32, sender.ntp as u32],
        );
        push_words(out, &[sender.rtp_timestamp, sender.packets, sender.octets]);
    } else {
        push_header(
            out,
            count,
            packet_type::RECEIVER_REPORT,
            1 + 6 * u16::from(count),
        );
        push_words(out, &[report.ssrc]);
    }
    if let Some(block) = &report.block {
        push_block(out, block);
    }
    push_description(out, report.ssrc, report.cname);
    if report.goodbye {
        push_header(out, 1, packet_type::GOODBYE, 1);
        push_words(out, &[report.ssrc]);
    }
}

fn push_block(out: &mut Vec<u8>, block: &ReportBlock) {
    let numbers = &block.numbers;
    let loss =
        (u32::from(numbers.fraction_lost) << 24) | (numbers.cumulative_lost as u32 & 0x00FF_FFFF);
    push_words(
        out,
        &[
            numbers.ssrc,
            loss,
            numbers.highest,
            numbers.jitter,
            block.last_report,
            block.delay,
        ],
    );
}

fn push_description(out: &mut Vec<u8>, ssrc: u32, cname: &str) {
    let name = &cname.as_bytes()[..cname.len().min(255)];
    // The item list ends with at least one zero byte, up to a word's end.
    let padded = (2 + name.len()) / 4 * 4 + 4;
    push_header(
        out,
        1,
        packet_type::SOURCE_DESCRIPTION,
        1 + (padded / 4) as u16,
    );
    push_words(out, &[ssrc]);
    let start = out.len();
    out.extend_from_slice(&[SDES_CNAME, name.len() as u8]);
    out.extend_from_slice(name);
    out.resize(start + padded, 0);
}

fn push_header(out: &mut Vec<u8>, count: u8, kind: u8, words: u16) {
    out.extend_from_slice(&[0x80 | count, kind]);
    out.extend_from_slice(&words.to_be_bytes());
}

fn push_words(out: &mut Vec<u8>, words: &[u32]) {
    for word in words {
        out.extend_from_slice(&word.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(cumulative_lost: i32) -> ReportBlock {
        let numbers = ReportNumbers {
            ssrc: 7,
            fraction_lost: 3,
            cumulative_lost,
            highest: 70_000,
            jitter: 12,
        };
        ReportBlock {
            numbers,
            last_report: 0x1234_5678,
            delay: 65_536,
        }
    }

    fn sender() -> SenderInfo {
        SenderInfo {
            ssrc: 1,
            ntp: 0xE000_0000_8000_0000,
            rtp_timestamp: 5,
            packets: 6,
            octets: 960,
        }
    }

    #[test]
    fn what_is_built_is_read_back() {
        for (sender, goodbye) in [(Some(sender()), false), (None, true)] {
            let mut out = Vec::new();
            let report = Report {
                ssrc: 1,
                sender,
                block: Some(block(-5)),
                cname: "abc@gateway",
                goodbye,
            };
            build(&report, &mut out);
            assert_eq!(out.len() % 4, 0);
            let compound = parse(&out).unwrap();
            assert_eq!(
                compound,
                Compound {
                    sender,
                    blocks: vec![block(-5)],
                    goodbye
                }
            );
        }
    }

    #[test]
    fn every_length_of_name_ends_with_a_zero_on_a_word() {
        for length in 0..300 {
            let mut out = Vec::new();
            let cname = "n".repeat(length);
            build(
                &Report {
                    ssrc: 1,
                    sender: None,
                    block: None,
                    cname: &cname,
                    goodbye: false,
                },
                &mut out,
            );
            assert_eq!(out.last(), Some(&0));
            assert!(parse(&out).is_ok());
        }
    }

    #[test]
    fn round_trip_is_arrival_less_report_less_delay() {
        let arrival = 0x1234_5678 + 65_536 + 6_554;
        assert!((block(0).round_trip_ms(arrival).unwrap() - 100.0).abs() < 0.1);
        assert_eq!(block(0).round_trip_ms(0x1234_5678), None);
        assert_eq!(
            ReportBlock {
                last_report: 0,
                ..block(0)
            }
            .round_trip_ms(arrival),
            None
        );
    }

    #[test]
    fn refuses_what_does_not_add_up() {
        assert_eq!(parse(&[]), Err(Malformed));
        assert_eq!(parse(&[0x80, 200, 0]), Err(Malformed));
        assert_eq!(parse(&[0x80, 200, 0, 0]), Err(Malformed));
        assert_eq!(parse(&[0x81, 201, 0, 1, 0, 0, 0, 1]), Err(Malformed));
        assert_eq!(parse(&[0x80, 201, 0, 2, 0, 0, 0, 1]), Err(Malformed));
        assert_eq!(parse(&[0x40, 201, 0, 1, 0, 0, 0, 1]), Err(Malformed));
        assert_eq!(parse(&[0x80, 209, 0, 0].repeat(40)), Err(Malformed));
        assert_eq!(parse(&[0x80, 209, 0, 0]), Ok(Compound::default()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_bounded(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(compound) = parse(&bytes) {
                prop_assert!(compound.blocks.len() * REPORT_BLOCK <= bytes.len());
            }
        }
    }
}
