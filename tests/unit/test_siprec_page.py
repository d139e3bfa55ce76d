"""The example on the page for telephony engineers is one that our own reader and the schema take."""

from pathlib import Path

from sidestream.sip.message import Request, Response
from sidestream.sip.parser import parse_message
from sidestream.siprec.body import read_body
from sidestream.siprec.check import check
from sidestream.siprec.offer import labels_of, read_answer

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "siprec.md").read_text()


def messages() -> list[bytes]:
    blocks = PAGE.split("```sip\n")[1:]
    return [(block.split("```")[0]).replace("\n", "\r\n").encode() for block in blocks]


def test_the_example_is_a_session_that_is_accepted() -> None:
    invite, answer = (parse_message(message) for message in messages())
    assert isinstance(invite, Request)
    assert isinstance(answer, Response)
    assert invite.headers.get("Content-Length") == str(len(invite.body))
    body = read_body(invite)
    assert body.description is not None
    assert body.metadata is not None
    assert check(body.metadata, labels_of(body.description)) == []
    accepted = read_body(answer).description
    assert accepted is not None
    reading = read_answer(body.description, accepted)
    assert (len(reading.accepted), reading.notes) == (2, ())
