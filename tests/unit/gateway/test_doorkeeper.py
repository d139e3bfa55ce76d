"""Who is asked for credentials, whose calls they make, and what becomes of guessing."""

from pathlib import Path

import pytest

from sidestream.call.verdict import Slug
from sidestream.config import parse
from sidestream.config.model import Configuration
from sidestream.gateway.admission import Admission, Admitted, Refused
from sidestream.gateway.doorkeeper import (
    GUESSERS,
    GUESSES,
    GUESSES_PER_S,
    Asked,
    Doorkeeper,
    GuessLimit,
    Rejected,
)
from sidestream.sip.builder import response_to
from sidestream.sip.digest import Algorithm, parse_challenge
from sidestream.sip.digest_client import Again, DigestClient
from sidestream.sip.message import Request
from unit.gateway.fake_gateway import FakeGateway
from unit.gateway.samples import request, source

TEXT = """
node:
  name: gw
  sip: [udp://127.0.0.1:5060]
  media: {address: 127.0.0.1, ports: 20000-29999}
accounts:
  - name: acme
    suspended: SUSPENDED
    voice_services:
      - name: carrier
        kind: carrier
        trunk:
          match: [192.0.2.0/28]
          auth: {username: carrier, password: secret, require_auth: true}
      - name: branch
        kind: carrier
        trunk:
          auth:
            {username: branch, password: hidden, realm: branch.example, require_auth: true, any_source: true}
      - name: other
        kind: carrier
        trunk:
          auth:
            {username: other, password: hidden, realm: other.example, require_auth: true, any_source: true}
      - name: desk
        kind: contact_center
        trunk: {peers: [{uri: "sip:192.0.2.33:5090"}], auth: {username: d, password: p}}
    routes:
      - {from: carrier, to: desk}
      - {from: branch, to: desk}
      - {from: desk, to: desk}
"""
STRANGER = "203.0.113.77"


def config(*, suspended: bool = False, anywhere: bool = True) -> Configuration:
    text = TEXT.replace("SUSPENDED", str(suspended).lower())
    if not anywhere:
        text = text.replace(", any_source: true", "")
    return parse(text.encode(), "test.yaml", Path("/"), {})


def admission(*, suspended: bool = False, anywhere: bool = True) -> Admission:
    return Admission(config(suspended=suspended, anywhere=anywhere), 0.0)


def answered(asked: Asked, invite: Request, user: str, password: str) -> Request:
    response = response_to(invite, asked.status)
    for name, value in asked.headers:
        response.headers.add(name, value)
    outcome = DigestClient(user, password, "*", lambda: "c").answer(invite, response, "")
    assert isinstance(outcome, Again)
    return outcome.request


def shown(
    one: Admission,
    host: str,
    user: str,
    password: str,
    *,
    invite: Request | None = None,
    now: float = 0.0,
) -> Admitted | Refused | Asked:
    """What comes of a call that is asked and answers."""
    invite = invite or request()
    asked = one.admit(invite, source(host), now)
    assert isinstance(asked, Asked), asked
    return one.admit(answered(asked, invite, user, password), source(host), now)


def test_a_trunk_that_wants_it_is_asked_for_each_algorithm_in_its_realm() -> None:
    asked = admission().admit(request(), source(), 0.0)
    assert isinstance(asked, Asked)
    assert asked.status == 401
    offered = [parse_challenge(value) for name, value in asked.headers if name == "WWW-Authenticate"]
    assert [each.algorithm for each in offered if each] == [Algorithm.SHA_256, Algorithm.MD5]
    assert {each.realm for each in offered if each} == {"gw"}


def test_right_credentials_are_a_call_of_the_trunk() -> None:
    decision = shown(admission(), "192.0.2.1", "carrier", "secret")
    assert isinstance(decision, Admitted)
    assert decision.caller.name == "carrier"
    assert decision.caller_auth is not None
    assert decision.callee_auth is not None


@pytest.mark.parametrize(
    ("user", "password"), [("carrier", "wrong"), ("nobody", "secret"), ("branch", "hidden")]
)
def test_wrong_credentials_are_asked_for_anew_and_have_a_verdict(user: str, password: str) -> None:
    decision = shown(admission(), "192.0.2.1", user, password)
    assert isinstance(decision, Refused)
    assert (decision.slug, decision.account, decision.trunk) == (Slug.WRONG_CREDENTIALS, "acme", "carrier")
    assert [name for name, _ in decision.headers] == ["WWW-Authenticate"] * 2
    assert repr(user) in decision.detail
    assert password not in decision.detail


def test_a_trunk_without_require_auth_is_not_asked() -> None:
    decision = admission().admit(request(), source("192.0.2.33", 5090), 0.0)
    assert isinstance(decision, Admitted)


def test_the_same_credentials_twice_are_asked_for_anew_and_no_guess() -> None:
    one, invite = admission(), request()
    asked = one.admit(invite, source(), 0.0)
    assert isinstance(asked, Asked)
    again = answered(asked, invite, "carrier", "secret")
    assert isinstance(one.admit(again, source(), 0.0), Admitted)
    repeated = one.admit(again, source(), 0.0)
    assert isinstance(repeated, Asked)
    assert "stale=true" in repeated.headers[0][1]


def test_malformed_credentials_are_answered_400_with_the_reason() -> None:
    invite = request()
    invite.headers.add("Authorization", "Digest junk")
    asked = admission().admit(invite, source(), 0.0)
    assert asked == Asked(400, phrase="Invalid digest credentials")


def test_a_stranger_is_known_by_its_credentials() -> None:
    decision = shown(admission(), STRANGER, "branch", "hidden")
    assert isinstance(decision, Admitted)
    assert decision.caller.name == "branch"


def test_a_stranger_is_asked_in_the_realm_that_its_request_is_about() -> None:
    invite = request()
    invite.headers.set("From", "<sip:x@other.example>;tag=a")
    asked = admission().admit(invite, source(STRANGER), 0.0)
    assert isinstance(asked, Asked)
    assert 'realm="other.example"' in asked.headers[0][1]
    decision = shown(admission(), STRANGER, "branch", "hidden", invite=invite)
    assert isinstance(decision, Refused), "the user of one realm is nobody in another"


def test_a_stranger_that_guesses_is_refused_without_a_trunk() -> None:
    decision = shown(admission(), STRANGER, "branch", "guess")
    assert isinstance(decision, Refused)
    assert (decision.slug, decision.account, decision.trunk) == (Slug.WRONG_CREDENTIALS, "", "")


def test_where_nobody_may_call_from_anywhere_strangers_are_not_asked() -> None:
    decision = admission(anywhere=False).admit(request(), source(STRANGER), 0.0)
    assert isinstance(decision, Refused)
    assert decision.slug is Slug.UNKNOWN_TRUNK


def test_an_account_that_is_suspended_gets_403_with_a_reason_and_is_not_asked() -> None:
    decision = admission(suspended=True).admit(request(), source(), 0.0)
    assert isinstance(decision, Refused)
    assert decision.slug is Slug.ACCOUNT_SUSPENDED
    assert decision.headers == (("Reason", 'SIP;cause=403;text="Account suspended"'),)
    roaming = shown(admission(suspended=True), STRANGER, "branch", "hidden")
    assert isinstance(roaming, Refused)
    assert roaming.slug is Slug.ACCOUNT_SUSPENDED


def test_guessing_is_slowed_down_by_address_and_hinders_nobody_else() -> None:
    one = admission()
    for _ in range(GUESSES):
        decision = shown(one, STRANGER, "branch", "guess")
        assert isinstance(decision, Refused)
        assert decision.slug is Slug.WRONG_CREDENTIALS
    for password in ("guess", "hidden"):
        decision = shown(one, STRANGER, "branch", password)
        assert isinstance(decision, Refused)
        assert decision.slug is Slug.TOO_MANY_GUESSES
    assert isinstance(shown(one, "203.0.113.78", "branch", "hidden"), Admitted)
    later = shown(one, STRANGER, "branch", "hidden", now=1 / GUESSES_PER_S)
    assert isinstance(later, Admitted)
    assert one.door.counts["wrong"] == GUESSES
    assert one.door.counts["blocked"] == 2
    assert one.door.counts["accepted"] == 2


def test_whoever_writes_anothers_address_does_not_get_it_blocked() -> None:
    one, invite = admission(), request()
    asked = one.admit(invite, source(STRANGER), 0.0)
    assert isinstance(asked, Asked)
    forged = answered(asked, invite, "branch", "guess")
    forged.headers.set(
        "Authorization", (forged.headers.get("Authorization") or "").replace("branch.example", "gw")
    )
    for _ in range(GUESSES + 1):
        decision = one.admit(forged, source(), 0.0)
        assert isinstance(decision, Refused)
        assert decision.slug is Slug.WRONG_CREDENTIALS
    assert isinstance(shown(one, "192.0.2.1", "carrier", "secret"), Admitted)


def test_what_is_known_of_guessers_is_bounded() -> None:
    limit = GuessLimit()
    for number in range(GUESSERS + 10):
        limit.note(f"host{number}", 0.0)
    assert len(limit._allowances) == GUESSERS
    assert not limit.blocked("host0", 0.0)


def test_passwords_are_in_no_representation() -> None:
    door = Doorkeeper(config(), bytes)
    assert "secret" not in repr(door) + repr(config())


def test_options_are_asked_of_a_trunk_and_not_of_strangers() -> None:
    one = admission()
    asked = one.ask(request("OPTIONS"), source(), 0.0)
    assert isinstance(asked, Asked)
    assert one.ask(answered(asked, request("OPTIONS"), "carrier", "secret"), source(), 0.0) is None
    assert isinstance(one.ask(answered(asked, request("OPTIONS"), "carrier", "x"), source(), 0.0), Rejected)
    assert one.ask(request("OPTIONS"), source(STRANGER), 0.0) is None


@pytest.mark.asyncio
async def test_on_the_wire_a_challenge_is_no_call_and_a_wrong_answer_is_one_refused(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path, config())
    invite = request()
    gateway.receive(invite)
    ((_, asked),) = gateway.sip.answers
    assert (asked.status, asked.headers.count("WWW-Authenticate")) == (401, 2)
    wrong = answered(Asked(401, tuple(asked.headers)), invite, "carrier", "wrong")
    gateway.receive(wrong, key=2)
    assert gateway.statuses == [401, 401]
    assert gateway.sip.answers[-1][1].headers.count("WWW-Authenticate") == 2
    gateway.receive(answered(Asked(401, tuple(asked.headers)), invite, "carrier", "secret"), key=3)
    assert gateway.calls.active == 1
    gateway.receive(request("OPTIONS"), key=4)
    assert gateway.statuses[-1] == 401
    (record,) = gateway.records()
    assert isinstance(record["verdict"], dict)
    assert (record["verdict"]["slug"], record["source"]) == ("wrong-credentials", "udp:192.0.2.1:5080")


@pytest.mark.asyncio
async def test_on_the_wire_a_suspended_account_gets_403_and_a_record(tmp_path: Path) -> None:
    gateway = FakeGateway(tmp_path, config(suspended=True))
    gateway.receive(request())
    ((_, response),) = gateway.sip.answers
    assert response.status == 403
    assert response.headers.get("Reason") == 'SIP;cause=403;text="Account suspended"'
    (record,) = gateway.records()
    assert isinstance(record["verdict"], dict)
    assert record["verdict"]["slug"] == "account-suspended"
