//! Telephone-events in any order: presses are keys, never more than there were packets.
use arbitrary::{Result, Unstructured};
use media::clock::MILLISECOND;
use media::dtmf::{Detector, EventBlock, EventPacket, Press};

/// Packets of one run.
const PACKETS_MAX: usize = 400;

/// Packets of two sources, near each other or anywhere, with timers between them.
pub fn dtmf(data: &[u8]) {
    let mut detector = Detector::default();
    let mut presses = Vec::new();
    let mut packets = 0;
    // The input ends where it ends.
    let _ = run(
        &mut Unstructured::new(data),
        &mut detector,
        &mut presses,
        &mut packets,
    );
    presses.extend(detector.finish());
    assert!(detector.finish().is_none() && detector.deadline().is_none());
    assert!(presses.len() <= packets);
    for press in &presses {
        assert!("0123456789*#ABCD".contains(press.digit));
    }
}

fn run(
    input: &mut Unstructured<'_>,
    detector: &mut Detector,
    presses: &mut Vec<Press>,
    packets: &mut usize,
) -> Result<()> {
    let mut now = 0;
    let mut timestamp = 0_u32;
    while !input.is_empty() && *packets < PACKETS_MAX {
        now += u64::from(input.arbitrary::<u8>()?) * 5 * MILLISECOND;
        presses.extend(detector.on_timer(now));
        assert!(detector.deadline().is_none_or(|deadline| deadline > now));
        timestamp = match input.int_in_range(0..=3_u8)? {
            0 => timestamp,
            1 => timestamp.wrapping_add(input.arbitrary::<u16>()?.into()),
            2 => timestamp.wrapping_sub(input.arbitrary::<u16>()?.into()),
            _ => input.arbitrary()?,
        };
        let payload: [u8; 4] = input.arbitrary()?;
        let Some(block) = EventBlock::parse(&payload) else {
            unreachable!("four bytes are a block")
        };
        let packet = EventPacket {
            ssrc: input.int_in_range(1..=2)?,
            timestamp,
            marker: input.arbitrary()?,
            clock_rate: *input.choose(&[8_000, 16_000, 48_000, 0, 1])?,
            block,
        };
        *packets += 1;
        presses.extend(detector.push(&packet, now).into_iter().flatten());
        assert!(!block.end || detector.deadline().is_none_or(|deadline| deadline > now));
    }
    Ok(())
}
