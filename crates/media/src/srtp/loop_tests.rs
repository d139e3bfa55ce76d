//! What one side protects, the other opens: over losses, reordering, rollovers, changes of source and of key.
use proptest::prelude::*;

use super::*;
use crate::clock::SECOND;
use crate::rtp::{self};

fn key(suite: Suite, seed: u8) -> MasterKey {
    let length = suite.key_length() + suite.salt_length();
    let bytes: Vec<u8> = (0..length as u8)
        .map(|byte| byte.wrapping_mul(seed))
        .collect();
    MasterKey::new(suite, &bytes, u64::MAX).unwrap()
}

fn both(suite: Suite) -> (Protector, Unprotector) {
    (
        Protector::new(key(suite, 3)),
        Unprotector::new(key(suite, 3)),
    )
}

fn rtp(ssrc: u32, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 0x88];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

fn sealed(protector: &mut Protector, plain: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut buffer = [plain, &[0; TRAILER]].concat();
    let made = protector.seal(&mut buffer, plain.len())?;
    buffer.truncate(made.length);
    Ok(buffer)
}

fn opened(unprotector: &mut Unprotector, packet: &[u8], now: u64) -> Result<Vec<u8>, Refusal> {
    let mut packet = packet.to_vec();
    let length = unprotector.open(&mut packet, now)?;
    packet.truncate(length);
    Ok(packet)
}

fn sent(protector: &mut Protector, number: u64) -> Vec<u8> {
    sealed(protector, &rtp(7, number as u16, b"voice")).unwrap()
}

#[test]
fn the_whole_packet_of_libsrtp_is_made_and_opened() {
    // The vectors of libsrtp's own test, which begin with a master key.
    for (suite, key, sealed_packet) in [
        (
            Suite::AesCm128Sha1_80,
            "e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6",
            "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb",
        ),
        (
            Suite::Aes256CmSha1_80,
            "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6\
             3b04803de51ee7c96423ab5b78d2",
            "800f1234decafbadcafebabef1d9de17ff251ff1aa007774b0b4b40da08d9d9a5b3a55d8873b",
        ),
    ] {
        let hex = super::key::tests::hex;
        let key = MasterKey::new(suite, &hex(key), u64::MAX).unwrap();
        let plain = hex("800f1234decafbadcafebabeabababababababababababababababab");
        let made = sealed(&mut Protector::new(key.clone()), &plain).unwrap();
        assert_eq!(made, hex(sealed_packet));
        assert_eq!(opened(&mut Unprotector::new(key), &made, 0), Ok(plain));
    }
}

#[test]
fn a_packet_is_opened_once_and_only_unchanged() {
    for suite in Suite::ALL {
        let (mut protector, mut unprotector) = both(suite);
        let packet = sent(&mut protector, 5);
        for at in 0..packet.len() {
            let mut changed = packet.clone();
            changed[at] ^= 1;
            assert!(
                opened(&mut unprotector, &changed, 0).is_err(),
                "{suite:?} {at}"
            );
        }
        assert!(opened(&mut unprotector, &packet, 0).is_ok(), "{suite:?}");
        assert_eq!(opened(&mut unprotector, &packet, 0), Err(Refusal::Replayed));
        for length in 0..packet.len() {
            assert!(opened(&mut unprotector, &packet[..length], 0).is_err());
        }
    }
}

#[test]
fn packets_are_opened_over_a_rollover_in_any_order() {
    for suite in Suite::ALL {
        let (mut protector, mut unprotector) = both(suite);
        let numbers: Vec<u64> = [65_500..65_598, 98_250..98_257, 131_000..131_098]
            .into_iter()
            .flatten()
            .collect();
        let packets: Vec<_> = numbers.iter().map(|&n| sent(&mut protector, n)).collect();
        for chunk in packets.chunks(7) {
            for packet in chunk.iter().rev() {
                opened(&mut unprotector, packet, 0).unwrap();
            }
        }
        for packet in &packets {
            assert!(opened(&mut unprotector, packet, 0).is_err());
        }
    }
}

#[test]
fn a_new_key_loses_no_packet_that_is_on_its_way() {
    for (suite, next) in [
        (Suite::AesCm128Sha1_32, Suite::AesCm128Sha1_32),
        (Suite::Aes128Gcm, Suite::Aes256Gcm),
        (Suite::Aes256Gcm, Suite::AesCm128Sha1_80),
    ] {
        let (mut protector, mut unprotector) = both(suite);
        let before: Vec<_> = (65_530..65_540).map(|n| sent(&mut protector, n)).collect();
        for packet in &before[..8] {
            opened(&mut unprotector, packet, 0).unwrap();
        }
        unprotector.rekey(key(next, 5), 0);
        opened(&mut unprotector, &before[8], 31 * SECOND).unwrap();
        protector.rekey(key(next, 5));
        let after: Vec<_> = (65_540..65_550).map(|n| sent(&mut protector, n)).collect();
        opened(&mut unprotector, &after[0], 31 * SECOND).unwrap();
        opened(&mut unprotector, &before[9], 31 * SECOND).unwrap();
        for packet in &after[1..] {
            opened(&mut unprotector, packet, 40 * SECOND).unwrap();
        }
        assert!(!unprotector.is_changing(), "the former key is let go of");
    }
}

#[test]
fn a_rollover_counter_may_go_on_or_begin_anew_with_a_new_key() {
    for goes_on in [true, false] {
        let (mut protector, mut unprotector) = both(Suite::Aes128Gcm);
        for number in [65_535, 65_536, 65_537] {
            let packet = sent(&mut protector, number);
            opened(&mut unprotector, &packet, 0).unwrap();
        }
        let next = key(Suite::Aes128Gcm, 9);
        unprotector.rekey(next.clone(), 0);
        let mut other = Protector::new(next);
        if goes_on {
            sent(&mut other, 65_535);
        }
        let number = if goes_on { 65_538 } else { 2 };
        let packet = sent(&mut other, number);
        assert!(opened(&mut unprotector, &packet, 0).is_ok(), "{goes_on}");
    }
}

#[test]
fn no_keystream_is_used_twice() {
    let (mut protector, mut unprotector) = both(Suite::AesCm128Sha1_80);
    let mut plain = |number: u16| sealed(&mut protector, &rtp(7, number, b"voice"));
    assert!(plain(5_000).is_ok());
    assert_eq!(plain(5_000), Err(Refusal::Replayed));
    assert!(plain(4_999).is_ok());
    // The source begins anew: from the second packet on it has another name.
    assert_eq!(plain(100), Err(Refusal::Replayed));
    let restarted = plain(101).unwrap();
    assert_ne!(rtp::ssrc(&restarted), 7);
    assert!(opened(&mut unprotector, &restarted, 0).is_ok());
    assert!(plain(102).is_ok());
    // Whoever was forgotten comes back under another name.
    for ssrc in 100..200 {
        sealed(&mut protector, &rtp(ssrc, 1, b"voice")).unwrap();
    }
    let back = sealed(&mut protector, &rtp(100, 1, b"other")).unwrap();
    assert_ne!(rtp::ssrc(&back), 100);
}

#[test]
fn a_key_protects_no_more_than_it_may() {
    let suite = Suite::Aes128Gcm;
    let bytes = vec![1; suite.key_length() + suite.salt_length()];
    let key = MasterKey::new(suite, &bytes, 3).unwrap();
    let (mut protector, mut unprotector) = (Protector::new(key.clone()), Unprotector::new(key));
    for number in 0..3 {
        let packet = sent(&mut protector, number);
        opened(&mut unprotector, &packet, 0).unwrap();
    }
    let plain = rtp(7, 3, b"voice");
    assert_eq!(sealed(&mut protector, &plain), Err(Refusal::Spent));
    assert_eq!(
        opened(&mut unprotector, &[0x80; 60], 0),
        Err(Refusal::Spent)
    );
}

#[test]
fn reports_are_numbered_and_opened_once() {
    let plain = [&[0x80, 201, 0, 1, 1, 2, 3, 4][..], b"more of it.."].concat();
    for suite in Suite::ALL {
        let (mut protector, mut unprotector) = both(suite);
        let reports: Vec<_> = (0..5)
            .map(|_| {
                let mut report = plain.clone();
                protector.seal_report(&mut report).unwrap();
                report
            })
            .collect();
        for report in reports.iter().rev() {
            let mut changed = report.clone();
            changed[9] ^= 1;
            assert!(unprotector.open_report(&mut changed, 0).is_err());
            let mut report = report.clone();
            let length = unprotector.open_report(&mut report, 0).unwrap();
            assert_eq!(report[..length], plain, "{suite:?}");
        }
        let again = unprotector.open_report(&mut reports[0].clone(), 0);
        assert_eq!(again, Err(Refusal::Replayed));
        unprotector.rekey(key(Suite::Aes256Gcm, 5), 0);
        let mut last = plain.clone();
        protector.seal_report(&mut last).unwrap();
        assert!(unprotector.open_report(&mut last, 0).is_ok(), "{suite:?}");
        assert_eq!(
            protector.seal_report(&mut vec![0; 7]),
            Err(Refusal::Malformed)
        );
    }
}

proptest! {
    #[test]
    fn any_packet_comes_back_as_it_was(
        which in 0usize..5,
        first in 0x80u8..0xC0,
        second in 0u8..72,
        rest in proptest::collection::vec(any::<u8>(), 10..300),
    ) {
        let (mut protector, mut unprotector) = both(Suite::ALL[which]);
        let plain = [&[first, second][..], &rest].concat();
        match sealed(&mut protector, &plain) {
            Ok(packet) => {
                prop_assert_eq!(opened(&mut unprotector, &packet, 0), Ok(plain));
            }
            Err(refusal) => {
                prop_assert_eq!(refusal, Refusal::Malformed);
                prop_assert!(rtp::payload_start(&plain).is_none());
            }
        }
    }

    #[test]
    fn nothing_foreign_is_opened(
        which in 0usize..5, bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let (_, mut unprotector) = both(Suite::ALL[which]);
        prop_assert!(opened(&mut unprotector, &bytes, 0).is_err());
        unprotector.rekey(key(Suite::Aes128Gcm, 5), 0);
        prop_assert!(opened(&mut unprotector, &bytes, 0).is_err());
        prop_assert!(unprotector.open_report(&mut bytes.clone(), 0).is_err());
    }
}
