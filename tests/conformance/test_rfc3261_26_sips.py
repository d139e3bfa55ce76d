"""RFC 3261 §26.2.2, §8.1.1.8 and §12.1.1, RFC 5630: `sips` is TLS on every hop, and never less."""

import pytest

from call_script import CallBench
from sidestream.call.commands import NextHop
from sidestream.call.messages import target_uri
from sidestream.call.side import Side
from sidestream.gateway.next_hop import hops_of
from sidestream.sip.admission import Admission
from sidestream.sip.dialog import Dialog
from sidestream.sip.hop import Hop
from sidestream.sip.message import Headers, Request
from sidestream.sip.reply_path import via_for
from sidestream.sip.secure import is_secure, secured_text, wants_secure_contact


def invite(uri: str = "sip:b@192.0.2.1", *headers: tuple[str, str]) -> Request:
    return Request(
        "INVITE",
        uri,
        Headers(
            [
                ("Via", "SIP/2.0/TLS 192.0.2.9;branch=z9hG4bK1"),
                ("Max-Forwards", "70"),
                ("From", "<sip:a@192.0.2.9>;tag=a"),
                ("To", "<sip:b@192.0.2.1>"),
                ("Call-ID", "c"),
                ("CSeq", "1 INVITE"),
                *(headers or (("Contact", "<sip:a@192.0.2.9>"),)),
            ]
        ),
    )


ADMISSION = Admission(frozenset({"INVITE"}), frozenset())


def test_26_2_2_a_sips_request_is_taken_over_tls_and_refused_in_the_clear() -> None:
    assert ADMISSION.refuse(invite("sips:b@192.0.2.1"), over_tls=True) is None
    refused = ADMISSION.refuse(invite("sips:b@192.0.2.1"))
    assert refused is not None
    assert refused.status == 416


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        (invite("sips:b@192.0.2.1"), True),
        (invite(), False),
        (invite("sip:b@h", ("Record-Route", "<sips:p;lr>, <sip:q;lr>"), ("Contact", "<sip:a@h>")), True),
        (invite("sip:b@h", ("Record-Route", "<sip:p;lr>, <sips:q;lr>"), ("Contact", "<sips:a@h>")), False),
        (invite("sip:b@h", ("Contact", "<sips:a@h>")), True),
    ],
)
def test_12_1_1_when_our_contact_is_sips(request_: Request, wanted: bool) -> None:
    assert wants_secure_contact(request_) is wanted


@pytest.mark.parametrize(
    ("uri", "secure"),
    [
        ("sip:b@h:5071;transport=tls;user=phone", "sips:b@h:5071;user=phone"),
        ("sip:h;transport=udp", "sips:h"),
        ("sips:h;transport=tcp", "sips:h;transport=tcp"),
        ("tel:+49", "tel:+49"),
    ],
)
def test_a_uri_made_secure_says_no_transport(uri: str, secure: str) -> None:
    assert secured_text(uri) == secure


def test_the_callee_is_asked_by_sips_when_the_caller_did() -> None:
    assert target_uri("sips:123@gw", "sip:192.0.2.7:5071;transport=tls") == "sips:123@192.0.2.7:5071"
    assert target_uri("sip:123@gw", "sips:192.0.2.7") == "sips:123@192.0.2.7"
    assert target_uri("sip:123@gw", "sip:192.0.2.7;transport=tls") == "sip:123@192.0.2.7;transport=tls"


def test_both_legs_of_a_sips_call_have_sips_contacts() -> None:
    bench = CallBench(uri="sips:+4930@192.0.2.1")
    bench.start()
    assert bench.invited.request.uri.startswith("sips:")
    assert bench.invited.request.headers.get("Contact") == "<sips:192.0.2.1:5061>"
    assert is_secure(bench.invited.next_hop.uri)


def test_12_1_1_a_secure_dialog_sends_nothing_in_the_clear() -> None:
    request = invite("sips:b@192.0.2.1")
    dialog = Dialog.from_invite_uas(request, "tag", "<sips:192.0.2.1>")
    assert dialog.secure
    # The peer's Contact is no `sips` URI, against the book: it is reached over TLS all the same.
    assert dialog.next_hop_uri() == "sips:a@192.0.2.9"
    assert dialog.create_request("BYE").uri == "sips:a@192.0.2.9"
    plain = Dialog.from_invite_uas(invite(), "tag", "<sip:192.0.2.1>")
    assert (plain.secure, plain.next_hop_uri()) == (False, "sip:a@192.0.2.9")


def test_what_cannot_be_resolved_goes_back_by_tls_or_not_at_all() -> None:
    udp, tls = Hop("udp", "192.0.2.9", 5060, 1), Hop("tls", "192.0.2.9", 40_000, 2)
    assert hops_of(NextHop("sips:a@h", (), udp), ()) == ()
    assert hops_of(NextHop("sips:a@h", (), tls), ()) == (tls,)
    assert hops_of(NextHop("sip:a@h", (), udp), ()) == (udp,)


def test_rfc5630_a_request_of_a_secure_dialog_in_the_clear_is_refused() -> None:
    bench = CallBench(uri="sips:+4930@192.0.2.1")
    bench.talk()
    final = bench.final(bench.request(Side.A, "BYE"))
    assert (final.status, final.headers.get("Warning")) == (480, '381 gateway "SIPS Required"')


def test_7_1_the_via_says_tls_and_lets_the_connection_be_shared() -> None:
    via = via_for("tls", ("192.0.2.1", 5061), "z9hG4bKx")
    assert str(via) == "SIP/2.0/TLS 192.0.2.1:5061;rport;branch=z9hG4bKx;alias"
    assert "alias" not in via_for("tcp", ("192.0.2.1", 5060), "z9hG4bKx").params
