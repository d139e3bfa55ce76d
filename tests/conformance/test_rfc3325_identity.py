"""Asserted identities (RFC 3325) between trusted and untrusted trunks."""

import pytest

from call_script import CallBench
from sidestream.call.facts import CallStarted, ParticipantUpdated
from sidestream.call.side import Side

PAI = ("P-Asserted-Identity", '"Asserted" <sip:+4930777@trusted.example>')
PPI = ("P-Preferred-Identity", "<sip:+4930666@caller.example>")
RPID = ("Remote-Party-ID", "<sip:+4930777@trusted.example>;party=calling;privacy=off")
VOUCHED = ("P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID")

TRUSTS = [(True, True), (True, False), (False, True), (False, False)]


def vouched(headers: object) -> list[str]:
    assert hasattr(headers, "__contains__")
    return [name for name in VOUCHED if name in headers]


@pytest.mark.parametrize("trusted", TRUSTS)
def test_section_5_an_asserted_identity_crosses_between_trusted_trunks_only(
    trusted: tuple[bool, bool],
) -> None:
    bench = CallBench(headers=[PAI, RPID, ("X-Kept", "1")], trusted=trusted).start()
    sent = bench.invited.request.headers
    assert sent.get("X-Kept") == "1"
    if all(trusted):
        assert sent.get_all("P-Asserted-Identity") == [PAI[1]]
        assert sent.get_all("Remote-Party-ID") == [RPID[1]]
    else:
        assert not vouched(sent)


@pytest.mark.parametrize("trusted", TRUSTS)
def test_section_5_what_the_callee_asserts_crosses_by_the_same_rule(trusted: tuple[bool, bool]) -> None:
    bench = CallBench(trusted=trusted).talk(headers=[PAI])
    assert ("P-Asserted-Identity" in bench.final().headers) is all(trusted)
    key = bench.request(Side.B, "INFO", headers=[PAI])
    assert ("P-Asserted-Identity" in bench.sent("INFO", Side.A).headers) is all(trusted)
    bench.reply(bench.requests("INFO", Side.A)[-1], 200, headers=[PAI])
    assert "P-Asserted-Identity" not in bench.final(key).headers or all(trusted)
    bench.request(Side.B, "BYE", headers=[PAI])
    assert ("P-Asserted-Identity" in bench.sent("BYE", Side.A).headers) is all(trusted)


@pytest.mark.parametrize("trusted", TRUSTS[2:])
def test_section_9_2_a_preferred_identity_of_an_untrusted_caller_goes_nowhere(
    trusted: tuple[bool, bool],
) -> None:
    bench = CallBench(headers=[PPI], trusted=trusted).start()
    assert not vouched(bench.invited.request.headers)
    assert all("4930666" not in value for _, value in bench.invited.request.headers)


def test_section_9_2_a_preferred_identity_does_not_go_to_an_untrusted_trunk() -> None:
    bench = CallBench(headers=[PPI], trusted=(True, False)).start()
    assert not vouched(bench.invited.request.headers)


@pytest.mark.parametrize("trusted", [True, False])
def test_section_8_an_assertion_is_believed_from_a_trusted_trunk_only(trusted: bool) -> None:
    bench = CallBench(headers=[PAI], trusted=(trusted, True)).talk()
    caller = bench.facts(CallStarted)[0].caller
    assert caller.uri == ("sip:+4930777@trusted.example" if trusted else "sip:+4997@example.net")
    bench.request(Side.A, "UPDATE", headers=[("P-Asserted-Identity", "<sip:other@trusted.example>")])
    news = [fact.participant.uri for fact in bench.facts(ParticipantUpdated)]
    assert news == (["sip:other@trusted.example"] if trusted else [])


def test_section_7_among_trusted_trunks_the_wish_for_privacy_goes_on_with_the_identity() -> None:
    bench = CallBench(headers=[PAI, ("Privacy", "id;critical")]).start()
    sent = bench.invited.request
    assert (sent.headers.get("P-Asserted-Identity"), sent.headers.get("Privacy")) == (PAI[1], "id;critical")
    assert str(sent.from_.uri) == "sip:+4997@example.net"


@pytest.mark.parametrize("privacy", ["none", "id", "user", "header", "none;critical"])
def test_section_7_no_value_of_privacy_opens_the_border(privacy: str) -> None:
    bench = CallBench(headers=[PAI, ("Privacy", privacy)], trusted=(True, False)).start()
    assert not vouched(bench.invited.request.headers)
