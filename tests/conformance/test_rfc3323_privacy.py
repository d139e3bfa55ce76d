"""Privacy (RFC 3323) where a call leaves the trusted trunks, and History-Info with it (RFC 7044 10.1)."""

import pytest

from call_script import CallBench
from sidestream.call.side import Side
from sidestream.call.verdict import Slug
from sidestream.sip.message import Headers, Request

OUTSIDE = (True, False)
TOLD = [("Subject", "Tax"), ("Organization", "Acme"), ("Call-Info", "<http://acme.example/me.png>")]
KEPT = [("User-to-User", "00aa;encoding=hex"), ("Diversion", "<sip:+4930555@acme.example>;reason=no-answer")]


def invite(
    *privacy: str, headers: list[tuple[str, str]] | None = None, trusted: tuple[bool, bool] = OUTSIDE
) -> Request:
    lines = [*(("Privacy", each) for each in privacy), *(headers or [])]
    return CallBench(headers=lines, trusted=trusted).start().invited.request


@pytest.mark.parametrize("privacy", ["id", "user", "ID", "header; id", "user;id;critical", "session,id"])
def test_section_4_1_1_3_from_is_anonymous(privacy: str) -> None:
    sent = invite(privacy)
    tag = sent.from_tag
    assert sent.headers.get("From") == f'"Anonymous" <sip:anonymous@anonymous.invalid>;tag={tag}'
    assert "Privacy" not in sent.headers


@pytest.mark.parametrize("privacy", ["none", "header", "session", "history", "header;session"])
def test_section_4_2_what_does_not_ask_for_it_leaves_from_alone(privacy: str) -> None:
    assert str(invite(privacy).from_.uri) == "sip:+4997@example.net"


def test_section_5_the_caller_stays_anonymous_within_the_call() -> None:
    bench = CallBench(headers=[("Privacy", "user")], trusted=OUTSIDE).talk()
    bench.request(Side.A, "INFO")
    bench.request(Side.A, "BYE")
    for method in ("INFO", "BYE"):
        sent = bench.sent(method)
        assert str(sent.from_.uri) == "sip:anonymous@anonymous.invalid"
        assert sent.from_tag == bench.invited.request.from_tag
    assert all("4997" not in value for each in bench.acks() for _, value in each.headers)


def test_section_5_within_the_trusted_trunks_nothing_is_withheld() -> None:
    sent = invite("user;id", headers=TOLD, trusted=(False, True))
    assert str(sent.from_.uri) == "sip:+4997@example.net"
    assert sent.headers.get("Privacy") == "user;id"
    assert sent.headers.get("Subject") == "Tax"


def test_section_5_1_header_privacy_no_hop_of_the_caller_is_told() -> None:
    sent = invite("header")
    told = [value for _, value in sent.headers]
    assert sent.headers.get("Contact") == "<sip:192.0.2.1:5060>"
    assert not any("192.0.2.10" in value for value in told)
    assert sent.headers.count("Via") == 0  # the transaction layer adds ours, and only ours


def test_section_5_2_session_privacy_media_is_ours() -> None:
    sent = invite("session")
    assert b"192.0.2.10" not in sent.body
    assert "Privacy" not in sent.headers


def test_section_5_3_user_privacy_what_a_user_tells_is_removed() -> None:
    sent = invite("user", headers=[*TOLD, *KEPT])
    assert not [name for name, _ in TOLD if name in sent.headers]
    assert [(name, sent.headers.get(name)) for name, _ in KEPT] == KEPT
    sent = invite("id", headers=TOLD)
    assert [name for name, _ in TOLD if name in sent.headers] == [name for name, _ in TOLD]


def test_section_5_a_signature_over_the_caller_goes_only_with_the_caller() -> None:
    identity = ("Identity", "a.b.c;info=<https://cert.example/a.pem>")
    assert "Identity" not in invite("id", headers=[identity]).headers
    assert invite("none", headers=[identity]).headers.get("Identity") == identity[1]
    assert invite(headers=[identity]).headers.get("Identity") == identity[1]


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ("none", "none"),
        ("id;critical", None),
        ("user;token", "token"),
        ("header;session;user;id;history", None),
        ("", None),
        (";;,", None),
    ],
)
def test_section_5_what_was_done_is_no_longer_asked_for(asked: str, left: str | None) -> None:
    assert invite(asked).headers.get("Privacy") == left


def test_section_5_what_is_critical_and_unknown_is_refused_with_500() -> None:
    bench = CallBench(headers=[("Privacy", "user;token;critical")], trusted=OUTSIDE).start()
    assert not bench.requests("INVITE")
    assert (bench.final().status, bench.final().reason) == (500, "Privacy Not Available")
    assert bench.verdict.slug is Slug.PRIVACY_UNAVAILABLE
    assert "token" in bench.verdict.detail


def test_section_5_a_trusted_trunk_may_know_what_we_do_not() -> None:
    assert invite("token;critical", trusted=(True, True)).headers.get("Privacy") == "token;critical"


HISTORY = (
    "<sip:+4930555@acme.example>;index=1, <sip:desk@acme.example?Reason=SIP%3Bcause%3D302>;index=1.1;mp=1"
)


@pytest.mark.parametrize("privacy", ["history", "header", "session"])
def test_rfc_7044_section_10_1_2_all_entries_are_anonymous(privacy: str) -> None:
    anonymous = "<sip:anonymous@anonymous.invalid>"
    sent = invite(privacy, headers=[("History-Info", HISTORY)])
    assert sent.headers.get("History-Info") == f"{anonymous};index=1, {anonymous};index=1.1;mp=1"


def test_rfc_7044_section_10_1_2_an_entry_may_ask_for_itself() -> None:
    line = "<sip:+4930555@acme.example?Privacy=history>;index=1, <sip:desk@acme.example>;index=1.1"
    sent = invite(headers=[("History-Info", line)])
    kept = "<sip:anonymous@anonymous.invalid>;index=1, <sip:desk@acme.example>;index=1.1"
    assert sent.headers.get("History-Info") == kept


def test_rfc_7044_section_10_1_2_among_trusted_trunks_history_passes_as_it_is() -> None:
    sent = invite("history", headers=[("History-Info", HISTORY)], trusted=(True, True))
    assert sent.headers.get("History-Info") == HISTORY


def test_rfc_7044_what_cannot_be_read_is_not_told_outside() -> None:
    assert "History-Info" not in invite(headers=[("History-Info", "<sip:broken")]).headers


def test_section_5_a_callee_has_its_privacy_too() -> None:
    bench = CallBench(trusted=(False, True))
    bench.talk(headers=[("Privacy", "user"), ("Subject", "Tax"), ("P-Asserted-Identity", "<sip:x@y.z>")])
    final: Headers = bench.final().headers
    assert not [name for name in ("Privacy", "Subject", "P-Asserted-Identity") if name in final]
