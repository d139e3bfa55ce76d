"""RFC 4568: SRTP keys in offers and answers, across a call; RFC 6188 and RFC 7714 where they add suites."""

from itertools import count

import pytest

from call_script import CallBench, every, sdp, session
from sidestream.call.commands import UpdateLegMedia
from sidestream.call.events import TimerName
from sidestream.call.side import Side
from sidestream.call.verdict import Slug
from sidestream.sdp.crypto import OFFERED, CryptoLine, parse_crypto, usable_lines
from sidestream.sdp.protection import Protection
from sidestream.sip.message import Message

KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
NEXT_KEY = "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR"
CM = f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"
NEW_CM = f"1 AES_CM_128_HMAC_SHA1_80 inline:{NEXT_KEY}"


def protection(policy: str) -> Protection:
    numbers = count(1)

    def secret(length: int) -> bytes:
        return bytes([next(numbers)]) * length

    return Protection(plain=policy != "required", secure=policy != "off", secret=secret)


def bench(caller: str, callee: str, offer: bytes, peers: int = 1) -> CallBench:
    return CallBench(offer=offer, srtp=(protection(caller), protection(callee)), peers=peers)


def lines_of(message: Message) -> tuple[CryptoLine, ...]:
    return usable_lines(session(message).media[0])


def protocol_of(message: Message) -> str:
    return session(message).media[0].protocol


def choose(offered: Message, suite: str, key: str) -> str:
    """The line by which a peer takes a suite of our offer."""
    tag = next(line.tag for line in lines_of(offered) if line.material.suite.value == suite)
    return f"{tag} {suite} inline:{key}"


def answer_with(*crypto: str, protocol: str = "") -> bytes:
    return sdp("0 101", port=5000, host="192.0.2.20", crypto=crypto, protocol=protocol)


def last_order(call: CallBench, side: Side) -> UpdateLegMedia:
    return [order for order in every(call.log, UpdateLegMedia) if order.side is side][-1]


def secure_call() -> CallBench:
    call = bench("optional", "required", sdp(crypto=[CM])).start()
    chosen = choose(call.invited.request, "AES_CM_128_HMAC_SHA1_80", KEY)
    call.answer(answer_with(chosen))
    call.ack()
    return call


def test_5_1_1_an_offer_proposes_suites_with_a_key_each() -> None:
    call = bench("off", "required", sdp()).start()
    offered = call.invited.request
    assert protocol_of(offered) == "RTP/SAVP"
    assert [line.material.suite for line in lines_of(offered)] == list(OFFERED)
    assert len({line.material.key_salt for line in lines_of(offered)}) == len(OFFERED)


def test_5_1_2_an_answer_takes_one_line_under_its_tag_with_a_key_of_its_own() -> None:
    offer = sdp(crypto=[f"8 F8_128_HMAC_SHA1_80 inline:{KEY}", f"9 AES_CM_128_HMAC_SHA1_32 inline:{KEY}", CM])
    call = bench("required", "off", offer).talk()
    answer = call.final()
    assert protocol_of(answer) == "RTP/SAVP"
    (line,) = lines_of(answer)
    assert (line.tag, line.material.suite.value) == (9, "AES_CM_128_HMAC_SHA1_32")
    order = last_order(call, Side.A)
    assert order.srtp is not None
    assert order.srtp.send == line.material
    assert order.srtp.receive == parse_crypto(f"9 AES_CM_128_HMAC_SHA1_32 inline:{KEY}").material
    assert last_order(call, Side.B).srtp is None


def test_5_1_3_the_answer_to_our_offer_gives_the_key_that_the_peer_sends_with() -> None:
    call = secure_call()
    order = last_order(call, Side.B)
    assert order.srtp is not None
    assert order.srtp.receive.key_salt == parse_crypto(CM).material.key_salt
    assert order.srtp.send in [line.material for line in lines_of(call.invited.request)]


@pytest.mark.parametrize("wrong", ["tag", "suite", "none", "two", "plain"])
def test_5_1_3_an_answer_that_takes_nothing_offered_ends_the_call(wrong: str) -> None:
    call = bench("off", "optional", sdp()).start()
    chosen = choose(call.invited.request, "AES_CM_128_HMAC_SHA1_80", KEY)
    tag = chosen.split()[0]
    body = {
        "tag": answer_with(chosen.replace(tag, "77", 1)),
        "suite": answer_with(f"{tag} AES_CM_128_HMAC_SHA1_32 inline:{KEY}"),
        "none": answer_with(protocol="RTP/SAVP"),
        "two": answer_with(chosen, chosen),
        "plain": answer_with(),
    }[wrong]
    call.answer(body)
    assert call.finish().slug is Slug.ANSWER_UNUSABLE


def test_7_1_2_an_offer_without_srtp_is_refused_where_it_is_required() -> None:
    call = bench("required", "off", sdp()).start()
    assert call.final().status == 488
    assert "302" in (call.final().headers.get("Warning") or "")
    assert call.verdict.slug is Slug.OFFER_NOT_ACCEPTABLE
    assert not call.requests("INVITE")


@pytest.mark.parametrize("policy", ["off", "optional", "required"])
def test_7_1_2_an_offer_whose_keys_cannot_be_used_is_refused(policy: str) -> None:
    call = bench(policy, "off", sdp(crypto=[f"{CM} UNENCRYPTED_SRTCP"])).start()
    assert call.final().status == 488


def test_srtp_is_refused_on_a_trunk_that_has_it_off() -> None:
    assert bench("off", "off", sdp(crypto=[CM])).start().final().status == 488


def test_keys_beside_plain_rtp_are_taken_in_kind() -> None:
    call = bench("optional", "off", sdp(crypto=[CM], protocol="RTP/AVP")).talk()
    answer = call.final()
    assert protocol_of(answer) == "RTP/AVP"
    assert len(lines_of(answer)) == 1
    assert last_order(call, Side.A).srtp is not None
    ignored = bench("off", "off", sdp(crypto=[CM], protocol="RTP/AVP")).talk()
    assert lines_of(ignored.final()) == ()
    assert last_order(ignored, Side.A).srtp is None


def test_keys_never_cross_from_one_leg_to_the_other() -> None:
    call = secure_call()
    assert KEY.encode() not in call.invited.request.body
    ours = {line.material.key_salt for line in lines_of(call.invited.request)}
    assert parse_crypto(CM).material.key_salt not in ours


def test_a_peer_that_refuses_srtp_is_offered_plain_rtp_where_it_is_optional() -> None:
    call = bench("off", "optional", sdp(), peers=2).start()
    first = call.invited
    call.reply(first, 488)
    second = call.invited
    assert second is not first
    assert second.next_hop.uri == first.next_hop.uri
    assert second.request.call_id != first.request.call_id
    assert protocol_of(second.request) == "RTP/AVP"
    assert lines_of(second.request) == ()
    call.answer()
    call.ack()
    assert last_order(call, Side.B).srtp is None
    assert TimerName.RING not in call.timers


def test_a_peer_that_refuses_both_has_refused() -> None:
    call = bench("off", "optional", sdp(), peers=2).start()
    call.reply(call.invited, 488)
    call.reply(call.invited, 488)
    assert call.final().status == 488
    assert len(call.requests("INVITE")) == 2


def test_after_a_peer_out_of_reach_the_next_one_is_offered_srtp_again() -> None:
    call = bench("off", "optional", sdp(), peers=2).start()
    before = lines_of(call.invited.request)
    call.reply(call.invited, 488)
    call.reply(call.invited, 503)
    assert call.invited.next_hop.uri == call.setup.peers[1].uri
    after = lines_of(call.invited.request)
    assert after
    keys = {line.material.key_salt for line in before}
    assert keys.isdisjoint({line.material.key_salt for line in after})


def test_srtp_that_is_required_is_never_given_up() -> None:
    call = bench("off", "required", sdp()).start()
    call.reply(call.invited, 488)
    assert call.final().status == 488
    assert len(call.requests("INVITE")) == 1


def test_a_delayed_offer_is_answered_with_keys() -> None:
    call = bench("required", "required", b"").start()
    call.answer(answer_with(CM))
    offered = call.final()
    assert protocol_of(offered) == "RTP/SAVP"
    chosen = choose(offered, "AEAD_AES_256_GCM", "A" * 59 + "=")
    call.ack(sdp("0 101", crypto=[chosen]))
    for side in Side:
        assert last_order(call, side).srtp is not None
    assert protocol_of(call.acks()[0]) == "RTP/SAVP"


def test_7_1_4_a_new_key_in_mid_call_is_taken_and_ours_stay() -> None:
    call = secure_call()
    before = {side: last_order(call, side).srtp for side in Side}
    key = call.request(Side.A, "INVITE", sdp(crypto=[NEW_CM], version=2))
    crossed = call.requests("INVITE", Side.B)[-1]
    assert lines_of(crossed.request) == lines_of(call.invited.request)
    chosen = choose(crossed.request, "AES_CM_128_HMAC_SHA1_80", KEY)
    call.reply(crossed, 200, answer_with(chosen))
    assert len(lines_of(call.final(key))) == 1
    after = {side: last_order(call, side).srtp for side in Side}
    for side in Side:
        old, new = before[side], after[side]
        assert old is not None
        assert new is not None
        assert new.send == old.send
    renewed = after[Side.A]
    assert renewed is not None
    assert renewed.receive.key_salt == parse_crypto(NEW_CM).material.key_salt
    assert after[Side.B] == before[Side.B]


def test_a_refused_change_of_keys_leaves_those_in_use() -> None:
    call = secure_call()
    before = {side: last_order(call, side) for side in Side}
    call.request(Side.A, "INVITE", sdp(crypto=[NEW_CM], version=2))
    call.reply(call.requests("INVITE", Side.B)[-1], 488)
    assert {side: last_order(call, side) for side in Side} == before


def test_a_leg_that_requires_srtp_cannot_be_talked_out_of_it() -> None:
    call = secure_call()
    key = call.request(Side.B, "INVITE", sdp("0 101", port=5000, host="192.0.2.20", version=2))
    assert call.final(key).status == 488
    assert last_order(call, Side.B).srtp is not None


def test_a_hold_keeps_the_keys() -> None:
    call = secure_call()
    before = last_order(call, Side.A).srtp
    call.request(Side.A, "INVITE", sdp(crypto=[CM], direction="sendonly", version=2))
    crossed = call.requests("INVITE", Side.B)[-1]
    chosen = choose(crossed.request, "AES_CM_128_HMAC_SHA1_80", KEY)
    call.reply(crossed, 200, answer_with(chosen))
    order = last_order(call, Side.A)
    assert order.held
    assert order.srtp == before
