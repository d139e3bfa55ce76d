//! RTCP compound packets: what is read can be built, and what is built is read back.
use media::rtcp::{build, parse, Compound, Report};

/// Blocks and packets that one datagram may hold: 32 packets of 31 blocks.
const BLOCKS_MAX: usize = 32 * 31;

/// One datagram.
pub fn rtcp(data: &[u8]) {
    let Ok(compound) = parse(data) else { return };
    assert!(compound.blocks.len() <= BLOCKS_MAX);
    for block in &compound.blocks {
        assert!(block.round_trip_ms(block.delay).is_none_or(f64::is_finite));
    }
    rebuild(&compound, data);
}

fn rebuild(compound: &Compound, data: &[u8]) {
    let name = String::from_utf8_lossy(data);
    let report = Report {
        ssrc: compound.sender.map_or(1, |sender| sender.ssrc),
        sender: compound.sender,
        block: compound.blocks.first().copied(),
        cname: &name,
        goodbye: compound.goodbye,
    };
    let mut out = Vec::new();
    build(&report, &mut out);
    assert_eq!(out.len() % 4, 0);
    let expected = Compound {
        sender: report.sender,
        blocks: report.block.into_iter().collect(),
        goodbye: report.goodbye,
    };
    assert_eq!(parse(&out), Ok(expected));
}
