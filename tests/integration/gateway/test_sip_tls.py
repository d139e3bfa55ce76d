"""SIP over TLS on real sockets: who proves what to whom, what is refused and why, and what a flood costs."""

import asyncio
import contextlib
import datetime as dt
import shutil
import socket
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from integration.gateway.sip_peer import (
    PATIENCE,
    SLOW,
    UDP,
    Party,
    accept,
    connect,
    hop_to,
    options,
    party,
    receive,
    request,
    tcp_server,
    until,
    wire,
)
from sidestream.config.values import Verify
from sidestream.gateway.sip_options import CloseReason, ListenAddress
from sidestream.gateway.sip_tls import PeerPolicy, SipTls
from sidestream.gateway.tls_contexts import TlsFiles
from sidestream.sip.events import ClientTransportFailed, RequestReceived, ResponseReceived
from sidestream.sip.hop import Hop
from sidestream.sip.tls_failure import TlsFailure
from sidestream.tools.certificates import Authority, Leaf, Validity

pytestmark = pytest.mark.asyncio

TLS = ListenAddress("tls", "127.0.0.1", 0)
VIA = "TLS 127.0.0.1:5061"
LOCAL = Leaf()
PAST = Validity(begins=-dt.timedelta(days=9), ends=-dt.timedelta(days=2))


@dataclass(frozen=True)
class Pki:
    """An authority, a directory, and what it has issued."""

    authority: Authority
    directory: Path

    @property
    def ca(self) -> Path:
        """The authority's certificate."""
        path = self.directory / "ca.pem"
        if not path.exists():
            self.authority.write(path)
        return path

    def files(self, name: str, leaf: Leaf = LOCAL, *, mutual: bool = False) -> TlsFiles:
        """Issue a certificate; `mutual` asks peers for one of the same authority."""
        certificate, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        self.authority.issue(certificate, key, leaf)
        return TlsFiles(certificate, key, self.ca if mutual else None)

    def tls(self, name: str, leaf: Leaf = LOCAL, *, mutual: bool = False, **policy: object) -> SipTls:
        """Issue a certificate for a stack that trusts the authority."""
        fallback = PeerPolicy(ca=self.ca, **policy)  # type: ignore[arg-type] # what a policy takes
        return SipTls(self.files(name, leaf, mutual=mutual), fallback=fallback)


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    """An authority of one's own."""
    return Pki(Authority(), tmp_path)


@contextlib.asynccontextmanager
async def secure_party(tls: SipTls, **limits: float) -> AsyncIterator[Party]:
    """Open a stack that listens on TLS."""
    async with party(TLS, setup=replace(options(SLOW, **limits), tls=tls)) as one:
        yield one


async def failure_of(one: Party, hop: Hop) -> TlsFailure:
    """Send a request to a hop and return why it could not be."""
    one.stack.send_request(request(), (hop,))
    failed = await one.wait(ClientTransportFailed)
    assert failed.trouble is not None
    assert one.stack.counts.tls_failures["opened", failed.trouble.failure] == 1
    return failed.trouble.failure


def refused_by(counts_of: Party) -> Counter[TlsFailure]:
    """Return the failures of peers that connected."""
    found = counts_of.stack.counts.tls_failures.items()
    return Counter({failure: number for (direction, failure), number in found if direction == "accepted"})


async def talk(one: Party, hop: Hop, count: int = 1) -> None:
    """Send a request to a hop and wait for its answer."""
    one.stack.send_request(request(), (hop,))
    await one.wait(ResponseReceived, count)


async def test_requests_share_a_connection_and_say_that_it_is_tls(pki: Pki) -> None:
    async with secure_party(pki.tls("one")) as one, secure_party(pki.tls("other")) as other:
        for count in (1, 2, 3):
            await talk(one, other.hop("tls"), count)
        heard = other.of(RequestReceived)
        assert {event.request.top_via.transport for event in heard} == {"TLS"}
        assert {event.source.transport for event in heard} == {"tls"}
        assert one.stack.counts.opened["tls"] == other.stack.counts.accepted["tls"] == 1
        assert one.stack.counts.handshakes == {("opened", "TLSv1.3"): 1}
        assert other.stack.counts.handshakes == {("accepted", "TLSv1.3"): 1}
        assert one.stack.contacts["tls"] == f"sip:127.0.0.1:{one.stack.bound[0].port};transport=tls"
        assert one.stack.contacts["sips"] == f"sips:127.0.0.1:{one.stack.bound[0].port}"


async def test_what_is_sent_during_the_handshake_goes_out_in_order(pki: Pki) -> None:
    async with secure_party(pki.tls("one")) as one, secure_party(pki.tls("other")) as other:
        made = [request(body=b"x" * 9000) for _ in range(20)]
        for each in made:
            one.stack.send_request(each, (other.hop("tls"),))
        await one.wait(ResponseReceived, 20)
        heard = other.of(RequestReceived)
        assert [event.request.call_id for event in heard] == [each.call_id for each in made]
        assert one.stack.counts.opened["tls"] == 1


async def test_a_stack_without_tls_fails_such_hops(pki: Pki) -> None:
    async with secure_party(pki.tls("one")) as one, party(UDP) as without:
        without.stack.send_request(request(), (one.hop("tls"),))
        assert (await without.wait(ClientTransportFailed)).trouble is None


# --- what the other side's certificate must be -----------------------------------------------------------

NAMED = "sip.carrier.example"


@pytest.mark.parametrize(
    ("leaf", "failure"),
    [
        (Leaf((NAMED,)), None),
        (Leaf(("pbx.example",), (f"sip:{NAMED}",)), None),
        (Leaf((NAMED,), ("sip:else.example",)), TlsFailure.NAME_MISMATCH),
        (Leaf(("*.carrier.example",)), TlsFailure.NAME_MISMATCH),
        (Leaf(("else.example",), common_name=NAMED), TlsFailure.NAME_MISMATCH),
        (Leaf((), common_name=NAMED, alternatives=False), None),
        (Leaf((NAMED,), validity=PAST), TlsFailure.EXPIRED),
        (Leaf((NAMED,), validity=Validity(begins=dt.timedelta(days=1))), TlsFailure.EXPIRED),
    ],
)
async def test_a_peer_proves_the_domain_of_its_uri(pki: Pki, leaf: Leaf, failure: TlsFailure | None) -> None:
    async with secure_party(pki.tls("one")) as one, secure_party(pki.tls("other", leaf)) as other:
        hop = replace(other.hop("tls"), domain=NAMED)
        if failure is None:
            await talk(one, hop)
        else:
            assert await failure_of(one, hop) is failure
            assert not other.of(RequestReceived)


async def test_one_address_may_be_two_domains_and_each_is_proven(pki: Pki) -> None:
    async with secure_party(pki.tls("one")) as one, secure_party(pki.tls("other", Leaf((NAMED,)))) as other:
        await talk(one, replace(other.hop("tls"), domain=NAMED))
        # The connection that stands proves nothing to who wants somebody else.
        assert (
            await failure_of(one, replace(other.hop("tls"), domain="else.example"))
            is TlsFailure.NAME_MISMATCH
        )
        await talk(one, replace(other.hop("tls"), domain=NAMED), 2)
        assert one.stack.counts.opened["tls"] == 1


async def test_an_authority_that_is_not_trusted(pki: Pki, tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    strange = Pki(Authority("Somebody else"), tmp_path / "else")
    async with secure_party(pki.tls("one")) as one, secure_party(strange.tls("other")) as other:
        assert await failure_of(one, other.hop("tls")) is TlsFailure.UNTRUSTED
        await until(lambda: refused_by(other) == {TlsFailure.REFUSED: 1})


@pytest.mark.parametrize(
    ("verify", "names", "works"),
    [
        (Verify.NAME, (), False),
        (Verify.NAME, (NAMED,), True),
        (Verify.CHAIN, (), True),
        (Verify.OFF, (), True),
    ],
)
async def test_a_peer_by_address_may_have_another_name_when_that_is_said(
    pki: Pki, verify: Verify, names: tuple[str, ...], works: bool
) -> None:
    tls = pki.tls("one", verify=verify, names=names)
    async with secure_party(tls) as one, secure_party(pki.tls("other", Leaf((NAMED,)))) as other:
        if works:
            await talk(one, other.hop("tls"))
        else:
            assert await failure_of(one, other.hop("tls")) is TlsFailure.NAME_MISMATCH


async def test_verification_that_is_off_takes_an_unknown_authority(pki: Pki, tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    strange = Pki(Authority("Somebody else"), tmp_path / "else")
    theirs = strange.tls("other", Leaf((NAMED,), validity=PAST))
    ours = pki.tls("one", verify=Verify.OFF)
    async with secure_party(ours) as one, secure_party(theirs) as other:
        await talk(one, other.hop("tls"))


async def test_each_peer_has_its_own_authorities(pki: Pki, tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    strange = Pki(Authority("Somebody else"), tmp_path / "else")
    async with secure_party(pki.tls("a")) as here, secure_party(strange.tls("b")) as there:
        policies = {
            ("127.0.0.1", here.hop("tls").port): PeerPolicy(ca=pki.ca),
            ("127.0.0.1", there.hop("tls").port): PeerPolicy(ca=strange.ca),
        }
        async with secure_party(SipTls(pki.files("c"), policies)) as one:
            await talk(one, here.hop("tls"))
            await talk(one, there.hop("tls"), 2)
        swapped = dict(zip(policies, reversed(policies.values()), strict=True))
        async with secure_party(SipTls(pki.files("d"), swapped)) as one:
            assert await failure_of(one, here.hop("tls")) is TlsFailure.UNTRUSTED


async def test_an_address_that_proved_to_be_a_peer_may_do_so_again(pki: Pki) -> None:
    """A Contact names an address, its certificate a domain: what was proven there before is enough."""
    async with secure_party(pki.tls("other", Leaf((NAMED,)))) as other:
        hop = other.hop("tls")
        tls = SipTls(pki.files("one"), {(NAMED, hop.port): PeerPolicy(ca=pki.ca)}, PeerPolicy(ca=pki.ca))
        async with secure_party(tls) as one:
            assert await failure_of(one, hop) is TlsFailure.NAME_MISMATCH
            await talk(one, replace(hop, domain=NAMED))
            await talk(one, hop, 2)


# --- what we ask of who connects -------------------------------------------------------------------------


async def test_who_connects_must_have_a_certificate_where_one_is_asked_for(pki: Pki) -> None:
    strict = pki.tls("other", mutual=True)
    nameless = SipTls(None, fallback=PeerPolicy(ca=pki.ca))
    async with secure_party(strict) as other:
        async with secure_party(pki.tls("one", Leaf((NAMED,)))) as one:
            await talk(one, other.hop("tls"))
            certificate = other.of(RequestReceived)[0].source.certificate
            assert certificate is not None
            assert certificate.domains == (NAMED,)
        async with party(UDP, setup=replace(options(), tls=nameless)) as bare:
            # With TLS 1.3 we hear of the refusal after our own side of the handshake.
            assert await failure_of(bare, other.hop("tls")) is TlsFailure.REFUSED
            await until(lambda: refused_by(other) == {TlsFailure.NO_CERTIFICATE: 1})


@pytest.mark.parametrize("leaf", [Leaf((NAMED,), validity=PAST), Leaf((NAMED,))])
async def test_what_a_client_shows_must_be_good(pki: Pki, tmp_path: Path, leaf: Leaf) -> None:
    expired = leaf.validity is PAST
    (tmp_path / "else").mkdir()
    source = pki if expired else Pki(Authority("Somebody else"), tmp_path / "else")
    tls = SipTls(source.files("one", leaf), fallback=PeerPolicy(ca=pki.ca))
    async with secure_party(pki.tls("other", mutual=True)) as other, secure_party(tls) as one:
        assert await failure_of(one, other.hop("tls")) is TlsFailure.REFUSED
        wanted = TlsFailure.EXPIRED if expired else TlsFailure.UNTRUSTED
        await until(lambda: refused_by(other) == {wanted: 1})


# --- connections of the peer for our requests (RFC 5923) -------------------------------------------------


async def test_a_connection_that_its_opener_shares_is_used_for_our_requests(pki: Pki) -> None:
    ours = pki.tls("other", mutual=True)
    async with secure_party(pki.tls("one", Leaf((NAMED, "127.0.0.1")))) as one, secure_party(ours) as other:
        await talk(one, other.hop("tls"))
        await talk(other, replace(one.hop("tls"), domain=NAMED))
        await talk(other, one.hop("tls"), 2)
        assert (other.stack.counts.opened["tls"], other.stack.counts.aliases) == (0, 2)


async def test_it_is_not_used_for_whom_its_certificate_does_not_name(pki: Pki) -> None:
    ours = pki.tls("other", mutual=True)
    async with secure_party(pki.tls("one", Leaf((NAMED,)))) as one, secure_party(ours) as other:
        await talk(one, other.hop("tls"))
        failure = await failure_of(other, replace(one.hop("tls"), domain="else.example"))
        assert failure is TlsFailure.NAME_MISMATCH
        assert other.stack.counts.aliases == 0


async def test_it_is_not_used_where_its_opener_proved_nothing(pki: Pki) -> None:
    async with secure_party(pki.tls("one")) as one, secure_party(pki.tls("other")) as other:
        await talk(one, other.hop("tls"))
        await talk(other, one.hop("tls"))
        assert (other.stack.counts.opened["tls"], other.stack.counts.aliases) == (1, 0)


# --- versions, ciphers, and what is no TLS: OpenSSL as an independent peer -------------------------------

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


async def s_client(hop: Hop, *arguments: str) -> str:
    """Connect as `openssl s_client` does, and return all that it says."""
    process = await asyncio.create_subprocess_exec(
        "openssl", "s_client", "-connect", f"{hop.host}:{hop.port}", *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        return (await asyncio.wait_for(process.communicate(), PATIENCE))[0].decode(errors="replace")
    except TimeoutError:
        process.kill()
        await process.wait()
        raise


@needs_openssl
@pytest.mark.parametrize(
    ("arguments", "version"),
    [(("-tls1_2",), "TLSv1.2"), (("-tls1_3",), "TLSv1.3"), (("-tls1_2", "-cipher", "CHACHA20"), "TLSv1.2")],
)
async def test_versions_that_are_taken(pki: Pki, arguments: tuple[str, ...], version: str) -> None:
    async with secure_party(pki.tls("one")) as one:
        said = await s_client(one.hop("tls"), "-CAfile", str(pki.ca), "-servername", NAMED, *arguments)
        assert "Verify return code: 0 (ok)" in said
        assert f"Protocol  : {version}" in said or f"New, {version}" in said
        assert one.stack.counts.handshakes == {("accepted", version): 1}


@needs_openssl
@pytest.mark.parametrize(
    ("arguments", "failure"),
    [
        (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), TlsFailure.NO_SHARED_VERSION),
        (("-tls1", "-cipher", "ALL:@SECLEVEL=0"), TlsFailure.NO_SHARED_VERSION),
        (("-tls1_2", "-cipher", "AES128-SHA"), TlsFailure.NO_SHARED_CIPHER),
        (("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"), TlsFailure.NO_SHARED_CIPHER),
    ],
)
async def test_versions_and_ciphers_that_are_refused(
    pki: Pki, arguments: tuple[str, ...], failure: TlsFailure
) -> None:
    async with secure_party(pki.tls("one")) as one:
        said = await s_client(one.hop("tls"), *arguments)
        assert "no peer certificate available" in said
        await until(lambda: refused_by(one) == {failure: 1})


@needs_openssl
async def test_openssl_must_show_a_certificate_where_one_is_asked_for(pki: Pki) -> None:
    async with secure_party(pki.tls("one", mutual=True)) as one:
        await s_client(one.hop("tls"), "-tls1_2")
        await until(lambda: refused_by(one) == {TlsFailure.NO_CERTIFICATE: 1})
        client = pki.files("client", Leaf((NAMED,)))
        shown = ("-cert", str(client.certificate), "-key", str(client.key), "-CAfile", str(pki.ca))
        said = await s_client(one.hop("tls"), "-tls1_2", *shown)
        assert "Verify return code: 0 (ok)" in said
        assert one.stack.counts.handshakes == {("accepted", "TLSv1.2"): 1}


@pytest.mark.parametrize(
    "said",
    [b"OPTIONS sip:a@b SIP/2.0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x00", b"\x16\x07\x01", b"\r\n\r\n"],
)
async def test_what_is_no_tls_is_told_so_at_its_first_bytes(pki: Pki, said: bytes) -> None:
    async with secure_party(pki.tls("one")) as one:
        with await connect(one.hop("tls")) as peer:
            peer.sendall(said)
            assert await receive(peer) == b""
        assert refused_by(one) == {TlsFailure.NOT_TLS: 1}
        assert one.stack.counts.connections["tls"] == 0


async def test_a_peer_that_speaks_no_tls_is_told_so(pki: Pki) -> None:
    async with secure_party(pki.tls("one")) as one:
        with tcp_server() as server:
            one.stack.send_request(request(), (hop_to("tls", server),))
            with await accept(server) as peer:
                peer.sendall(b"SIP/2.0 400 Bad Request\r\n\r\n")
                failed = await one.wait(ClientTransportFailed)
                assert failed.trouble is not None
                assert failed.trouble.failure is TlsFailure.NOT_TLS


async def test_a_peer_that_closes_within_the_handshake(pki: Pki) -> None:
    async with secure_party(pki.tls("one")) as one:
        with tcp_server() as server:
            one.stack.send_request(request(), (hop_to("tls", server),))
            (await accept(server)).close()
            failed = await one.wait(ClientTransportFailed)
            assert failed.trouble is not None
            assert failed.trouble.failure is TlsFailure.LOST


async def test_a_peer_that_says_nothing_is_waited_for_so_long(pki: Pki) -> None:
    async with secure_party(pki.tls("one"), connect_timeout=0.2) as one:
        with tcp_server() as server:
            one.stack.send_request(request(), (hop_to("tls", server),))
            with await accept(server):
                failed = await one.wait(ClientTransportFailed)
                assert failed.trouble is not None
                assert failed.trouble.failure is TlsFailure.TIMEOUT
        assert one.stack.counts.handshakes_open == 0


# --- bounds ----------------------------------------------------------------------------------------------


async def test_a_handshake_has_a_deadline(pki: Pki) -> None:
    async with secure_party(pki.tls("one"), handshake_timeout=0.2) as one:
        with await connect(one.hop("tls")) as peer:
            peer.sendall(b"\x16\x03\x01")
            assert await receive(peer) == b""
        assert refused_by(one) == {TlsFailure.TIMEOUT: 1}
        assert one.stack.counts.handshakes_open == 0


@contextlib.contextmanager
def half_open(hop: Hop, count: int, host: str) -> Iterator[list[socket.socket]]:
    """Open connections that never finish their handshake."""
    with contextlib.ExitStack() as opened:
        found = []
        for _ in range(count):
            peer = opened.enter_context(socket.socket())
            peer.bind((host, 0))
            peer.connect((hop.host, hop.port))
            peer.sendall(b"\x16\x03\x01")
            found.append(peer)
        yield found


async def test_of_too_many_handshakes_the_oldest_makes_room(pki: Pki) -> None:
    limits = {"max_handshakes": 20, "max_handshakes_per_source": 8}
    async with secure_party(pki.tls("one"), **limits) as one:
        hop = one.hop("tls")
        with half_open(hop, 10, "127.0.0.2") as first:
            await until(lambda: refused_by(one) == {TlsFailure.CROWDED_OUT: 2})
            assert [await receive(peer) for peer in first[:2]] == [b"", b""]
            with half_open(hop, 8, "127.0.0.3"), half_open(hop, 8, "127.0.0.4"):
                await until(lambda: refused_by(one) == {TlsFailure.CROWDED_OUT: 6})
                assert one.stack.counts.handshakes_open == 20


async def test_calls_go_on_beside_a_thousand_handshakes_that_never_end(pki: Pki) -> None:
    """From one address and from many; who means it gets through, from the flooding address too."""
    async with secure_party(pki.tls("one")) as one:
        hop = one.hop("tls")
        with contextlib.ExitStack() as flood:
            for host in range(10, 20):
                flood.enter_context(half_open(hop, 100, f"127.0.0.{host}"))
            await until(lambda: refused_by(one)[TlsFailure.CROWDED_OUT] >= 1000 - 512)
            assert one.stack.counts.handshakes_open <= 512
            for place in ("127.0.0.1", "127.0.0.10"):
                setup = replace(options(), tls=pki.tls(f"caller-{place}"))
                async with party(ListenAddress("tls", place, 0), setup=setup) as caller:
                    for count in range(1, 21):
                        await talk(caller, hop, count)
            # The second finds the place that the first one has left.
            assert refused_by(one) == {TlsFailure.CROWDED_OUT: 1000 + 1 - 512}
            assert one.stack.counts.handshakes["accepted", "TLSv1.3"] == 2
        await until(lambda: one.stack.counts.handshakes_open == 0)


async def test_the_loop_is_never_held_for_long_by_a_flood_of_handshakes(pki: Pki) -> None:
    async with secure_party(pki.tls("one")) as one:
        context = ssl.create_default_context(cafile=str(pki.ca))

        def flood() -> None:
            for _ in range(40):
                sock = socket.create_connection((hop.host, hop.port), PATIENCE)
                context.wrap_socket(sock, server_hostname="localhost").close()

        hop = one.hop("tls")
        threads = [asyncio.create_task(asyncio.to_thread(flood)) for _ in range(4)]
        turns = 0
        while not all(thread.done() for thread in threads):
            await asyncio.sleep(0)
            turns += 1
        await asyncio.gather(*threads)
        await until(lambda: one.stack.counts.handshakes["accepted", "TLSv1.3"] == 160)
        assert turns > 160, "the loop had fewer turns than there were handshakes"


async def test_a_peer_that_does_not_read_loses_its_connection(pki: Pki) -> None:
    async with secure_party(pki.tls("one"), max_unsent_bytes=200_000) as one:
        context = ssl.create_default_context(cafile=str(pki.ca))
        hop = one.hop("tls")
        with await connect(hop) as raw:
            peer = await asyncio.to_thread(context.wrap_socket, raw, server_hostname="127.0.0.1")
            await asyncio.to_thread(peer.sendall, wire(VIA))
            source = (await one.wait(RequestReceived)).source
            for _ in range(2000):
                one.stack.send_request(request(body=b"x" * 30_000), (source.hop,))
                await asyncio.sleep(0)
                if one.stack.counts.closed[CloseReason.SLOW_READER]:
                    break
            assert one.stack.counts.closed[CloseReason.SLOW_READER] == 1
            peer.close()


# --- keep-alives and the end -----------------------------------------------------------------------------


async def test_keep_alives_go_over_tls(pki: Pki) -> None:
    pinging = secure_party(pki.tls("one"), ping_interval=0.1, pong_timeout=0.5)
    async with pinging as one, secure_party(pki.tls("other"), idle_timeout=0.4) as other:
        await talk(one, other.hop("tls"))
        await asyncio.sleep(1.0)
        # Twice its idle time has passed: the pings kept it.
        assert other.stack.counts.connections["tls"] == one.stack.counts.connections["tls"] == 1


async def test_a_ping_is_answered_and_a_goodbye_is_heard(pki: Pki) -> None:
    async with secure_party(pki.tls("one")) as one:
        context = ssl.create_default_context(cafile=str(pki.ca))
        with await connect(one.hop("tls")) as raw:
            peer = await asyncio.to_thread(context.wrap_socket, raw, server_hostname="127.0.0.1")
            await asyncio.to_thread(peer.sendall, b"\r\n\r\n")
            assert await asyncio.to_thread(peer.recv, 100) == b"\r\n"
            (await asyncio.to_thread(peer.unwrap)).close()
        await until(lambda: one.stack.counts.connections["tls"] == 0)
        assert refused_by(one) == {}


async def test_a_record_that_was_tampered_with_breaks_the_connection(pki: Pki) -> None:
    async with secure_party(pki.tls("one")) as one:
        context = ssl.create_default_context(cafile=str(pki.ca))
        with await connect(one.hop("tls")) as raw:
            copy = raw.dup()
            peer = await asyncio.to_thread(context.wrap_socket, raw, server_hostname="127.0.0.1")
            copy.sendall(b"\x17\x03\x03\x00\x20" + b"\x00" * 32)
            await until(lambda: refused_by(one) == {TlsFailure.BROKEN: 1})
            copy.close()
            peer.close()
        await until(lambda: one.stack.counts.connections["tls"] == 0)


# --- renewal ---------------------------------------------------------------------------------------------


def serial_shown(hop: Hop, ca: Path) -> str:
    """Return the serial number of the certificate that a listener shows."""
    context = ssl.create_default_context(cafile=str(ca))
    sock = socket.create_connection((hop.host, hop.port), PATIENCE)
    with context.wrap_socket(sock, server_hostname="127.0.0.1") as peer:
        return str((peer.getpeercert() or {})["serialNumber"])


async def test_a_renewed_certificate_is_shown_and_what_stands_goes_on(pki: Pki) -> None:
    tls = pki.tls("one")
    async with secure_party(tls) as one, secure_party(pki.tls("other")) as other:
        await talk(other, one.hop("tls"))
        before = await asyncio.to_thread(serial_shown, one.hop("tls"), pki.ca)
        assert tls.reload_if_changed() is None
        pki.files("one")
        assert tls.reload_if_changed() is True
        after = await asyncio.to_thread(serial_shown, one.hop("tls"), pki.ca)
        assert before != after
        await talk(other, one.hop("tls"), 2)
        assert one.stack.counts.accepted["tls"] == 3
        assert (tls.counts.reloads, tls.counts.reload_failures) == (1, 0)


@pytest.mark.parametrize("fault", ["garbage", "missing", "mismatch", "expired"])
async def test_files_that_cannot_be_used_leave_the_old_ones_in_place(pki: Pki, fault: str) -> None:
    tls = pki.tls("one")
    certificate = pki.directory / "one.pem"
    async with secure_party(tls) as one:
        before = await asyncio.to_thread(serial_shown, one.hop("tls"), pki.ca)
        if fault == "garbage":
            certificate.write_text("nothing")
        elif fault == "missing":
            certificate.unlink()
        elif fault == "mismatch":
            pki.authority.issue(certificate, pki.directory / "else.key", Leaf())
        else:
            pki.authority.issue(certificate, pki.directory / "one.key", Leaf(validity=PAST))
        assert tls.reload_if_changed() is False
        assert tls.reload_if_changed() is None, "the same fault is told once"
        assert await asyncio.to_thread(serial_shown, one.hop("tls"), pki.ca) == before
        assert (tls.counts.reloads, tls.counts.reload_failures) == (0, 1)
        pki.files("one")
        assert tls.reload_if_changed() is True


async def test_a_handshake_that_was_open_at_the_renewal_still_succeeds(pki: Pki) -> None:
    tls = pki.tls("one")
    async with secure_party(tls) as one:
        context = ssl.create_default_context(cafile=str(pki.ca))
        with await connect(one.hop("tls")) as raw:
            await until(lambda: one.stack.counts.handshakes_open == 1)
            pki.files("one")
            assert tls.reload() is True
            peer = await asyncio.to_thread(context.wrap_socket, raw, server_hostname="127.0.0.1")
            await asyncio.to_thread(peer.sendall, wire(VIA))
            await one.wait(RequestReceived)
            peer.close()


async def test_expiry_is_told_once_a_day(pki: Pki, capsys: pytest.CaptureFixture[str]) -> None:
    soon = Leaf(validity=Validity(ends=dt.timedelta(days=10)))
    tls = SipTls(pki.files("one", soon), fallback=PeerPolicy(ca=pki.ca))
    assert tls.expires_at is not None
    now = dt.datetime.now(dt.UTC)
    for hours in (0, 1, 25):
        tls.warn_of_expiry(now + dt.timedelta(hours=hours))
    tls.warn_of_expiry(now + dt.timedelta(days=11))
    said = capsys.readouterr().out
    assert said.count("sip_tls_certificate_expires") == 2
    assert said.count("sip_tls_certificate_expired") == 1
    fresh = SipTls(pki.files("two"), fallback=PeerPolicy(ca=pki.ca))
    fresh.warn_of_expiry(now)
    assert "sip_tls_certificate" not in capsys.readouterr().out


async def test_closing_ends_handshakes_too(pki: Pki) -> None:
    began = time.monotonic()
    async with secure_party(pki.tls("one")) as one:
        peer = await connect(one.hop("tls"))
        await until(lambda: one.stack.counts.handshakes_open == 1)
    assert time.monotonic() - began < PATIENCE
    with peer:
        assert await receive(peer) == b""
