"""RFC 3711 with RFC 6188 and RFC 7714: what we protect libsrtp opens, and the other way round."""

import os
import random
import struct

import pytest
from pylibsrtp import Error as LibsrtpError

from libsrtp import Party, material
from sidestream._media import MediaError, Srtp
from sidestream.gateway.engine_messages import SrtpPair, encode
from sidestream.sdp.crypto import CryptoSuite, SrtpKeys

SUITES = list(CryptoSuite)


def keys_of(suite: CryptoSuite, seed: int = 1) -> SrtpKeys:
    return SrtpKeys(material(suite, seed), material(suite, seed + 1))


def parties(suite: CryptoSuite) -> tuple[Srtp, Party]:
    keys = keys_of(suite)
    return Srtp(encode(SrtpPair.of(keys))), Party(keys)


def rtp(index: int, payload: bytes = b"", *, ssrc: int = 7, ornate: bool = False) -> bytes:
    """A packet by its extended number; an ornate one has sources, an extension and padding."""
    first = 0xB2 if ornate else 0x80
    header = struct.pack(">BBHII", first, 0x88, index & 0xFFFF, (index * 160) & 0xFFFFFFFF, ssrc)
    if not ornate:
        return header + (payload or os.urandom(160))
    return (
        header
        + bytes(8)
        + struct.pack(">HHI", 0xBEDE, 1, 0x10AA0000)
        + (payload or os.urandom(40))
        + b"\0\0\3"
    )


def report(ssrc: int = 7) -> bytes:
    return struct.pack(">BBHIQIII", 0x80, 200, 6, ssrc, 12345, 1, 2, 3) + struct.pack(
        ">BBHI", 0x81, 203, 1, ssrc
    )


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("ornate", [False, True])
def test_rtp_of_every_suite_goes_both_ways(suite: CryptoSuite, *, ornate: bool) -> None:
    ours, theirs = parties(suite)
    for index in range(65_500, 65_600):
        packet = rtp(index, ornate=ornate)
        assert theirs.hears.unprotect(ours.protect(packet)) == packet
        packet = rtp(index, ornate=ornate, ssrc=8)
        assert ours.unprotect(theirs.sends.protect(packet)) == packet


@pytest.mark.parametrize("suite", SUITES)
def test_rtcp_of_every_suite_goes_both_ways(suite: CryptoSuite) -> None:
    ours, theirs = parties(suite)
    for _ in range(20):
        packet = report()
        assert theirs.hears.unprotect_rtcp(ours.protect_report(packet)) == packet
        packet = report(8)
        assert ours.unprotect_report(theirs.sends.protect_rtcp(packet)) == packet


@pytest.mark.parametrize("suite", SUITES)
def test_3_3_1_rollovers_are_followed_through_loss_and_disorder(suite: CryptoSuite) -> None:
    ours, theirs = parties(suite)
    chance = random.Random(suite.value)
    # Over three rollovers with gaps of up to thirty thousand packets, groups of eight in any order.
    indices, index = [], 65_000
    while index < 4 * 65_536:
        group = [index + number for number in range(8)]
        chance.shuffle(group)
        indices += group
        index += chance.choice([8, 8, 8, 1_000, 30_000])
    packets = {index: rtp(index, ssrc=8) for index in indices}
    sealed = {index: theirs.sends.protect(packets[index]) for index in sorted(indices)}
    for index in indices:
        assert ours.unprotect(sealed[index]) == packets[index], index
    sent = {index: ours.protect(packets[index]) for index in sorted(indices)}
    for index in indices:
        assert theirs.hears.unprotect(sent[index]) == packets[index], index


@pytest.mark.parametrize("suite", SUITES)
def test_3_3_2_replays_and_forgeries_are_refused_on_either_side(suite: CryptoSuite) -> None:
    ours, theirs = parties(suite)
    sealed = theirs.sends.protect(rtp(5, ssrc=8))
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 0x40
        with pytest.raises(MediaError):
            ours.unprotect(bytes(changed))
    ours.unprotect(sealed)
    with pytest.raises(MediaError) as refused:
        ours.unprotect(sealed)
    assert refused.value.kind == "replayed"
    with pytest.raises(MediaError):
        ours.unprotect(rtp(6, ssrc=8))
    sent = ours.protect(rtp(5))
    theirs.hears.unprotect(sent)
    with pytest.raises(LibsrtpError):
        theirs.hears.unprotect(sent)
    protected = theirs.sends.protect_rtcp(report(8))
    ours.unprotect_report(protected)
    with pytest.raises(MediaError) as refused:
        ours.unprotect_report(protected)
    assert refused.value.kind == "replayed"


@pytest.mark.parametrize("suite", SUITES)
def test_9_1_no_number_is_protected_twice(suite: CryptoSuite) -> None:
    ours, theirs = parties(suite)
    ours.protect(rtp(5))
    with pytest.raises(MediaError) as refused:
        ours.protect(rtp(5))
    assert refused.value.kind == "replayed"
    # A source that begins anew goes on under another name, from its second packet on.
    for index in range(20_000, 20_010):
        theirs.hears.unprotect(ours.protect(rtp(index)))
    with pytest.raises(MediaError):
        ours.protect(rtp(100))
    for index in range(101, 110):
        packet = rtp(index)
        opened = theirs.hears.unprotect(ours.protect(packet))
        assert opened[:8] + opened[12:] == packet[:8] + packet[12:]
        assert opened[8:12] != packet[8:12]


def test_a_change_of_source_and_of_key_loses_nothing() -> None:
    ours, theirs = parties(CryptoSuite.AES_CM_128_HMAC_SHA1_80)
    for ssrc in range(100):
        packet = rtp(65_535, ssrc=ssrc)
        assert ours.unprotect(theirs.sends.protect(packet)) == packet
    last = theirs.sends.protect(rtp(65_536, ssrc=99))
    keys = keys_of(CryptoSuite.AEAD_AES_256_GCM, 9)
    ours.rekey(encode(SrtpPair.of(keys)))
    renewed = Party(keys)
    packet = rtp(3, ssrc=99)
    assert ours.unprotect(renewed.sends.protect(packet)) == packet
    assert ours.unprotect(last)
    assert renewed.hears.unprotect(ours.protect(packet)) == packet


def test_keys_that_cannot_be_are_refused_without_being_told() -> None:
    keys = keys_of(CryptoSuite.AEAD_AES_128_GCM)
    order = encode(SrtpPair.of(keys))
    for wrong in (order.replace(b"AEAD_AES_128", b"AEAD_AES_256"), order.replace(b"AEAD", b"X"), b"{}", b""):
        with pytest.raises(MediaError) as refused:
            Srtp(wrong)
        assert refused.value.kind == "bad_spec"
        assert SrtpPair.of(keys).send.key_salt not in str(refused.value)
