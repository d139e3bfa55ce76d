"""Redirections by a peer (RFC 3261 8.1.3.4, 21.3): followed, or told to the caller."""

import pytest

from call_script import ANSWER, OFFER, CallBench
from sidestream.call.features import Features
from sidestream.call.redirection import MAX_TARGETS
from sidestream.call.side import Side
from sidestream.call.state import CallState
from sidestream.call.verdict import Slug
from sidestream.sip.digest_client import DigestClient

FOLLOWS = (Features(), Features(follow_redirects=True))
CHALLENGE = ("WWW-Authenticate", 'Digest realm="peer", nonce="n1", qop="auth", algorithm=SHA-256')


def uris(bench: CallBench) -> list[str]:
    return [sent.request.uri for sent in bench.requests("INVITE")[1:]]


def redirect(bench: CallBench, *contacts: str, status: int = 302) -> None:
    bench.reply(bench.invited, status, headers=[("Contact", ", ".join(contacts))])


def test_section_21_3_a_redirection_is_told_to_the_caller_with_its_contacts() -> None:
    bench = CallBench(peers=2).start()
    redirect(bench, '"Desk" <sip:+4930999@192.0.2.77>;q=0.5', "<tel:+4930888>")
    final = bench.final()
    assert (final.status, final.reason) == (302, "Moved Temporarily")
    assert final.headers.get("Contact") == '"Desk" <sip:+4930999@192.0.2.77>;q=0.5, <tel:+4930888>'
    assert (bench.verdict.slug, bench.verdict.sip_status) == (Slug.REDIRECTED, 302)
    assert not uris(bench)


def test_section_8_1_3_4_contacts_are_tried_by_their_q() -> None:
    bench = CallBench(features=FOLLOWS).start()
    redirect(bench, "<sip:low@192.0.2.71>;q=0.1", "<sip:high@192.0.2.72>", "<sip:mid@192.0.2.73>;q=0.7")
    bench.reply(bench.invited, 486)
    bench.reply(bench.invited, 404)
    assert uris(bench) == ["sip:high@192.0.2.72", "sip:mid@192.0.2.73", "sip:low@192.0.2.71"]
    bench.answer()
    bench.ack()
    assert bench.b2bua.state is CallState.TALKING
    assert bench.requests("INVITE")[-1].next_hop.uri == "sip:low@192.0.2.71"


def test_section_8_1_3_4_a_target_that_redirects_goes_before_those_that_wait() -> None:
    bench = CallBench(features=FOLLOWS).start()
    redirect(bench, "<sip:a@192.0.2.71>", "<sip:b@192.0.2.72>;q=0.1")
    redirect(bench, "<sip:c@192.0.2.73>")
    bench.time_out(bench.invited)
    assert uris(bench) == ["sip:a@192.0.2.71", "sip:c@192.0.2.73", "sip:b@192.0.2.72"]


def test_section_8_1_3_4_no_target_is_tried_twice() -> None:
    bench = CallBench(features=FOLLOWS).start()
    redirect(bench, "<sip:a@192.0.2.71>")
    redirect(bench, "<sip:b@192.0.2.72>", "<sip:a@192.0.2.71>")
    redirect(bench, "<sip:A@192.0.2.71;x=1>", "<sip:a@192.0.2.71;x=1>")
    redirect(bench, "<sip:b@192.0.2.72>")
    assert uris(bench) == ["sip:a@192.0.2.71", "sip:b@192.0.2.72", "sip:A@192.0.2.71;x=1"]
    assert (bench.final().status, bench.verdict.slug) == (480, Slug.REDIRECTED)


def test_section_8_1_3_4_redirections_are_bounded() -> None:
    bench = CallBench(features=FOLLOWS).start()
    for number in range(MAX_TARGETS + 5):
        if not bench.b2bua.ended:
            redirect(bench, f"<sip:n{number}@192.0.2.71>")
    assert len(uris(bench)) == MAX_TARGETS
    assert bench.verdict.slug is Slug.REDIRECTED


def test_section_8_1_3_4_a_6xx_ends_the_search() -> None:
    bench = CallBench(features=FOLLOWS).start()
    redirect(bench, "<sip:a@192.0.2.71>", "<sip:b@192.0.2.72>")
    bench.reply(bench.invited, 603)
    assert (bench.final().status, len(uris(bench))) == (603, 1)


@pytest.mark.parametrize("contact", ["<tel:+4930888>", "<mailto:a@b>", "*"])
def test_section_21_3_what_cannot_be_called_leads_nowhere(contact: str) -> None:
    bench = CallBench(features=FOLLOWS).start()
    redirect(bench, contact)
    assert (bench.final().status, bench.verdict.slug) == (480, Slug.REDIRECTED)


def test_section_21_1_3_headers_of_a_contact_are_not_taken_over() -> None:
    bench = CallBench(features=FOLLOWS).start()
    redirect(bench, "<sip:a@192.0.2.71?Subject=x>")
    assert uris(bench) == ["sip:a@192.0.2.71"]
    assert "Subject" not in bench.invited.request.headers


@pytest.mark.parametrize("offer", [OFFER, b""])
def test_rfc3261_21_1_4_a_call_that_is_being_forwarded_follows_too(offer: bytes) -> None:
    bench = CallBench(offer=offer, features=FOLLOWS).start()
    bench.ring(181)
    redirect(bench, "<sip:a@192.0.2.71>")
    assert uris(bench) == ["sip:a@192.0.2.71"]
    bench.ring(180)
    bench.answer(ANSWER)
    assert bench.final().status == 200


def test_rfc3262_5_a_caller_that_was_answered_reliably_is_not_led_elsewhere() -> None:
    bench = CallBench(features=FOLLOWS, headers=[("Supported", "100rel")]).start()
    bench.ring_reliably(1, ANSWER)
    bench.prack()
    redirect(bench, "<sip:a@192.0.2.71>")
    assert not uris(bench)
    assert bench.final().status == 480


@pytest.mark.parametrize(("host", "answered"), [("192.0.2.20", True), ("192.0.2.71", False)])
def test_rfc7616_5_credentials_are_for_the_hosts_of_the_trunk(host: str, answered: bool) -> None:
    client = DigestClient("trunk", "secret", "*", lambda: "cnonce")
    bench = CallBench(features=FOLLOWS, auth={Side.B: client}).start()
    redirect(bench, f"<sip:a@{host}>")
    bench.reply(bench.invited, 401, headers=[CHALLENGE])
    assert len(uris(bench)) == (2 if answered else 1)
    assert ("Authorization" in bench.invited.request.headers) is answered
