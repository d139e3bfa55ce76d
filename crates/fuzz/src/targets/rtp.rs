//! Datagrams on one leg: header, order, statistics, source lock, and the way across.
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use arbitrary::{Result, Unstructured};
use media::clock::MILLISECOND;
use media::formats::FormatTable;
use media::orders::LegCodec;
use media::rtp::{parse, set_payload_type, Header};
use media::sequence::Sequence;
use media::source_lock::{SourceLock, Verdict};
use media::stats::{PacketFacts, Reception, Transmission};

/// Datagrams of one run.
const DATAGRAMS_MAX: usize = 200;
/// Payload types that would look like RTCP (RFC 5761 section 4).
const RTCP_TYPES: std::ops::Range<u8> = 72..77;

/// A leg's agreed formats, then datagrams that come to it from three sources.
pub fn rtp(data: &[u8]) {
    // The input ends where it ends.
    let _ = run(&mut Unstructured::new(data));
}

struct Leg {
    table: FormatTable,
    lock: SourceLock,
    order: Sequence,
    reception: Reception,
    transmission: Transmission,
}

fn run(input: &mut Unstructured<'_>) -> Result<()> {
    let (own, across) = (codecs(input)?, codecs(input)?);
    let mut leg = Leg {
        table: FormatTable::new(&own, &across),
        lock: SourceLock::new(1_000 * MILLISECOND),
        order: Sequence::default(),
        reception: Reception::default(),
        transmission: Transmission::default(),
    };
    let mut now = 0;
    for _ in 0..DATAGRAMS_MAX {
        if input.is_empty() {
            break;
        }
        now += u64::from(input.arbitrary::<u8>()?) * 10 * MILLISECOND;
        let source = source(input)?;
        if input.ratio(1_u8, 16_u8)? {
            leg.lock.negotiate(source, now);
            assert!(leg.lock.is_host(source.ip()));
        }
        let length = input.int_in_range(0..=400_usize)?.min(input.len());
        let mut packet = input.bytes(length)?.to_vec();
        hear(&mut leg, &mut packet, source, now);
    }
    Ok(())
}

fn source(input: &mut Unstructured<'_>) -> Result<SocketAddr> {
    let host = IpAddr::V4(Ipv4Addr::new(192, 0, 2, input.int_in_range(1..=2)?));
    Ok(SocketAddr::new(host, input.int_in_range(4000..=4001)?))
}

fn codecs(input: &mut Unstructured<'_>) -> Result<Vec<LegCodec>> {
    let count = input.int_in_range(0..=4_usize)?;
    (0..count).map(|_| codec(input)).collect()
}

fn codec(input: &mut Unstructured<'_>) -> Result<LegCodec> {
    let names = [
        "PCMU",
        "PCMA",
        "G722",
        "L16",
        "telephone-event",
        "CN",
        "opus",
    ];
    Ok(LegCodec {
        name: (*input.choose(&names)?).to_owned(),
        clock_rate: *input.choose(&[8_000, 16_000, 48_000, 1, u32::MAX])?,
        channels: input.int_in_range(0..=3)?,
        local_pt: input.int_in_range(0..=127)?,
        remote_pt: input.int_in_range(0..=127)?,
    })
}

fn hear(leg: &mut Leg, packet: &mut [u8], source: SocketAddr, now: u64) {
    let Ok(header) = parse(packet) else { return };
    assert!(header.payload.start <= header.payload.end && header.payload.end <= packet.len());
    let was = leg.lock.source();
    if leg.lock.judge(source, now) == Verdict::Alien {
        assert!(was != Some(source), "the locked source is heard");
        return;
    }
    let _ = leg.order.observe(header.sequence);
    let format = leg.table.get(header.payload_type);
    let facts = PacketFacts {
        ssrc: header.ssrc,
        sequence: header.sequence,
        timestamp: header.timestamp,
        clock_rate: format.codec.clock_rate(),
        length: packet.len(),
    };
    leg.reception.observe(&facts, now);
    assert!(leg.reception.jitter_ms() >= 0.0);
    assert!(leg.reception.late + leg.reception.duplicate <= leg.reception.packets);
    if let Some(number) = format
        .relay_as
        .filter(|number| !RTCP_TYPES.contains(number))
    {
        relay(packet, &header, number);
        leg.transmission.observe(&facts, header.payload.len(), now);
        leg.transmission.timestamp_at(now);
    }
    let report = leg.reception.report();
    assert!(report.is_some_and(|report| report.ssrc == header.ssrc));
}

/// Relaying changes the payload type and nothing else.
fn relay(packet: &mut [u8], header: &Header, number: u8) {
    let before = packet.to_vec();
    set_payload_type(packet, number);
    let expected = Header {
        payload_type: number,
        ..header.clone()
    };
    assert_eq!(parse(packet), Ok(expected));
    assert_eq!(packet[0], before[0]);
    assert_eq!(packet[2..], before[2..]);
}
