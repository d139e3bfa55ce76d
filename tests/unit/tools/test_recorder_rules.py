"""Header fields and bodies of a recording client, judged."""

from datetime import UTC, datetime

import pytest

from sidestream.sip.message import Headers, Request
from sidestream.tools.recorder_findings import Findings, Level, remark, violation
from sidestream.tools.recorder_rules import (
    judge_bye,
    judge_change,
    judge_contact,
    judge_date,
    judge_invite,
    read_body,
)

NOW = datetime(2026, 3, 3, 9, 15, 20, tzinfo=UTC)
HEADERS = (
    ("Via", "SIP/2.0/TCP sbc.example;branch=z9hG4bK1"),
    ("From", "<sip:src@sbc.example>;tag=1"),
    ("To", "<sip:rec@srs.example>"),
    ("Date", "Tue, 03 Mar 2026 09:15:00 GMT"),
    ("Require", "timer, SIPREC"),
    ("Accept", "application/sdp, application/rs-metadata+xml;q=0.5"),
    ("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE"),
    ("Contact", "<sip:src@sbc.example;transport=tcp>;+sip.src"),
)


def invite(*changed: tuple[str, str]) -> Request:
    request = Request("INVITE", "sip:rec@srs.example", Headers(HEADERS))
    for name, value in changed:
        request.headers.remove(name)
        if value:
            request.headers.add(name, value)
    return request


def found(*changed: tuple[str, str], size: int = 3_000) -> list[tuple[str, Level]]:
    return [(each.code, each.level) for each in judge_invite(invite(*changed), size, NOW)]


def test_the_usual_invite_is_without_fault() -> None:
    assert not found()


@pytest.mark.parametrize(
    ("name", "value", "code", "level"),
    [
        ("Require", "", "require-siprec", Level.VIOLATION),
        ("Contact", "", "contact", Level.VIOLATION),
        ("Contact", "<sip:a@b>;+sip.src, <sip:c@d>;+sip.src", "contact", Level.VIOLATION),
        ("Contact", "<sip:a@b", "contact", Level.VIOLATION),
        ("Contact", "<sip:a@b;+sip.src>", "contact-src", Level.VIOLATION),
        ("Contact", "<sip:a@b>;src", "contact-src", Level.VIOLATION),
        ("Date", "", "date", Level.REMARK),
        ("Date", "Mon, 03 Mar 2026 09:15:00 GMT", "date", Level.VIOLATION),
        ("Date", "Tue, 33 Mar 2026 09:15:00 GMT", "date", Level.VIOLATION),
        ("Date", "Tue, 03 Mar 2026 09:15:00 CET", "date", Level.VIOLATION),
        ("Date", "Tue, 03 Mar 2026 08:15:00 GMT", "date-skew", Level.REMARK),
        ("Accept", "application/sdp", "accept", Level.REMARK),
        ("Allow", "INVITE, ACK", "allow-update", Level.REMARK),
        ("From", "<sip:rec@SRS.example>;tag=1", "from-is-to", Level.REMARK),
        ("Via", "SIP/2.0/UDP sbc.example;branch=z9hG4bK1", "large-over-udp", Level.REMARK),
    ],
)
def test_each_header_is_judged(name: str, value: str, code: str, level: Level) -> None:
    assert found((name, value)) == [(code, level)]


def test_a_small_invite_may_go_over_udp() -> None:
    assert not found(("Via", "SIP/2.0/UDP sbc.example;branch=z9hG4bK1"), size=1_300)


def test_the_feature_tag_may_follow_an_address_without_brackets() -> None:
    assert not list(judge_contact(invite(("Contact", "sip:src@sbc.example;+sip.src"))))


def test_a_date_of_now_is_right() -> None:
    assert not list(judge_date(invite(), NOW))


def test_changes_want_the_tag_too() -> None:
    assert not judge_change(invite())
    assert [each.level for each in judge_change(invite(("Require", "timer")))] == [Level.REMARK]
    assert [each.code for each in judge_bye(invite())] == []


def with_body(content_type: str, body: str, disposition: str = "") -> Request:
    request = invite()
    if content_type:
        request.headers.add("Content-Type", content_type)
    if disposition:
        request.headers.add("Content-Disposition", disposition)
    request.body = body.encode()
    return request


PARTS = (
    "preamble\r\n--b\r\nContent-Type: application/rs-metadata+xml\r\n"
    "Content-Disposition: recording-session\r\n\r\n<x/>\r\n"
    "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n"
    "--b\r\nContent-Type: application/gtd\r\n\r\n?\r\n--b--"
)


@pytest.mark.parametrize("kind", ["multipart/mixed;boundary=b", 'Multipart/Mixed ; boundary="b"'])
def test_parts_are_read_in_any_order(kind: str) -> None:
    read = read_body(with_body(kind, PARTS))
    assert (read.sdp, read.metadata) == (b"v=0\r\n", b"<x/>")
    assert [(each.code, each.level) for each in read.findings] == [("body-parts", Level.REMARK)]


def test_either_may_come_alone() -> None:
    read = read_body(with_body("application/rs-metadata+xml", "<x/>", "recording-session"))
    assert (read.metadata, read.findings) == (b"<x/>", [])
    assert read_body(with_body("application/sdp", "v=0\r\n")).sdp == b"v=0\r\n"
    assert read_body(invite()).findings == []


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        ("", "v=0", "body-type"),
        ("text/plain", "v=0", "body-type"),
        ("multipart/mixed", PARTS, "multipart"),
        ("multipart/mixed;boundary=c", PARTS, "multipart"),
        ("multipart/related;boundary=b", PARTS, "body-type"),
        ("multipart/mixed;boundary=b", PARTS.replace("gtd", "sdp"), "body-parts"),
        ("multipart/mixed;boundary=b", PARTS.replace("gtd", "rs-metadata+xml"), "body-parts"),
        ("multipart/mixed;boundary=b", PARTS.replace("recording-session", "render"), "metadata-disposition"),
        ("application/rs-metadata+xml", "<x/>", "metadata-disposition"),
    ],
)
def test_what_is_put_together_wrongly_is_named(content_type: str, body: str, code: str) -> None:
    read = read_body(with_body(content_type, body))
    assert code in [each.code for each in read.findings if each.level is Level.VIOLATION]

    read = read_body(with_body("application/rs-metadata", "<x/>", "recording-session"))
    assert [(each.code, each.level) for each in read.findings] == [("metadata-type", Level.REMARK)]


def test_findings_are_kept_once_and_bounded() -> None:
    findings = Findings()
    assert findings.add(violation("a", "x"))
    assert not findings.add(violation("a", "x"))
    assert all(findings.add(remark("b", str(number))) for number in range(199))
    assert not findings.add(remark("c", "y"))
    assert (len(findings), findings.dropped) == (200, 1)
