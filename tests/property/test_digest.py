"""Digest headers: what is written is read, what is made is accepted, and nothing else raises."""

from hypothesis import given
from hypothesis import strategies as st

from fuzz.sip_targets import check_error
from sidestream.sip.digest import Algorithm, Challenge, Credentials, Qop, parse_challenge, parse_credentials
from sidestream.sip.digest_client import Again, DigestClient
from sidestream.sip.digest_server import (
    Accepted,
    Denied,
    DigestServer,
    NonceCounts,
    Nonces,
    Realm,
    Reason,
)
from sidestream.sip.errors import ParseError
from sidestream.sip.message import Request
from sip_script import outbound, reply

VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1, max_size=40)
QOPS = st.lists(st.sampled_from(Qop), unique=True).map(lambda each: tuple(sorted(each)))
ALGORITHMS = st.sampled_from([None, *Algorithm])

challenges = st.builds(
    Challenge,
    realm=VALUES,
    nonce=VALUES,
    algorithm=ALGORITHMS,
    qop=QOPS,
    opaque=st.none() | VALUES,
    stale=st.booleans(),
)


@st.composite
def credential_sets(draw: st.DrawFn) -> Credentials:
    algorithm, qop = draw(ALGORITHMS), draw(st.sampled_from([None, *Qop]))
    digits = (algorithm or Algorithm.MD5).hex_digits
    return Credentials(
        username=draw(VALUES),
        realm=draw(VALUES),
        nonce=draw(VALUES),
        uri=draw(VALUES),
        response=draw(st.text("0123456789abcdef", min_size=digits, max_size=digits)),
        algorithm=algorithm,
        qop=qop,
        nonce_count=draw(st.integers(1, 0xFFFFFFFF)) if qop else None,
        cnonce=draw(VALUES) if qop else None,
        opaque=draw(st.none() | VALUES),
    )


@given(challenges)
def test_challenges_are_read_back(challenge: Challenge) -> None:
    assert parse_challenge(str(challenge)) == challenge


@given(credential_sets())
def test_credentials_are_read_back(credentials: Credentials) -> None:
    assert parse_credentials(str(credentials)) == credentials


@given(st.text(max_size=200) | st.text('Digest realm=",\\ nonce', max_size=60).map("Digest {}".format))
def test_any_text_is_read_or_one_kind_of_error(text: str) -> None:
    for parse in (parse_challenge, parse_credentials):
        try:
            parse(text)
        except ParseError as error:
            check_error(error)


@given(challenges, VALUES, st.text(max_size=20))
def test_a_challenge_is_answered_or_said_to_be_unusable_and_goes_over_the_wire(
    challenge: Challenge, user: str, password: str
) -> None:
    request = outbound()
    response = reply(request, 401)
    response.headers.add("WWW-Authenticate", str(challenge))
    outcome = DigestClient(user, password, "*", lambda: "c").answer(request, response, "p")
    unusable = challenge.effective_algorithm.is_session and not challenge.qop
    assert isinstance(outcome, Again) is not unusable


NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)


def exchange(server: DigestServer, realm: Realm, user: str, password: str) -> Request:
    request = outbound()
    response = reply(request, 401)
    for line in server.challenges(realm, "h", 7.0):
        response.headers.add("WWW-Authenticate", line)
    outcome = DigestClient(user, password, "*", lambda: "c").answer(request, response, "p")
    assert isinstance(outcome, Again)
    return outcome.request


@given(NAMES, NAMES, NAMES, st.permutations(list(Algorithm)))
def test_client_and_server_agree_on_any_user_password_and_realm(
    user: str, password: str, realm_name: str, algorithms: list[Algorithm]
) -> None:
    server = DigestServer(Nonces(b"key", bytes), NonceCounts())
    realm = Realm(realm_name, {user: password}.get, algorithms)
    assert server.judge(exchange(server, realm, user, password), realm, "h", 8.0) == Accepted(user)
    wrong = exchange(server, realm, user, password + "x")
    assert server.judge(wrong, realm, "h", 8.0) == Denied(Reason.WRONG, username=user, answers_us=True)


@given(st.lists(st.integers(1, 200), max_size=60))
def test_no_count_is_ever_taken_twice(counts: list[int]) -> None:
    memory, taken = NonceCounts(), set[int]()
    for number in counts:
        if memory.take("n", 0.0, number, 1.0):
            assert number not in taken
            taken.add(number)
        else:
            assert number in taken or number <= max(taken) - 64
