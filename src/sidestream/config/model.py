"""The configuration as frozen, typed values; each attribute is a key of the file, described by its docstring.

`Annotated` names the kind that reads a value (`sidestream.config.kinds`) and, where the key has another name
in the file, that name. What is not annotated is a section of its own, or a list of them. The page
`docs/configuration.md` is made from this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Final

from sidestream.config.denied import DENIED_NETWORKS
from sidestream.config.kinds import (
    ApiUrl,
    Choice,
    Database,
    Duration,
    EndpointUrl,
    FilePath,
    Flag,
    IpAddress,
    IpNetwork,
    Later,
    Listener,
    Pattern,
    Ports,
    SecretText,
    SipPeer,
    TemplateText,
    Text,
    Unavailable,
    Whole,
)
from sidestream.config.numbering import NUMBER, Numbers, TrunkNumbers
from sidestream.config.observing import Hep, Trace
from sidestream.config.shapes import Key, ListOf, MapOf
from sidestream.config.signalling import Dns, Protection
from sidestream.config.templates import Template
from sidestream.config.values import (
    Address,
    ApiListener,
    DigestAlgorithm,
    Documents,
    Dtmf,
    Encoding,
    Extension,
    Layout,
    MetadataName,
    Network,
    OnLoss,
    PeerUri,
    Policy,
    PortRange,
    RecordingSrtp,
    Redirect,
    Seconds,
    Secret,
    SipListener,
    Srtp,
    StartOn,
    Strategy,
    Subscription,
    Verify,
    VoiceServiceKind,
)

_DNS: Final = Dns()
_PROTECTION: Final = Protection()
_TRACE: Final = Trace()
_NO_NUMBERS: Final = TrunkNumbers()
_MEDIA_PORTS: Final = PortRange(20000, 29999)
_NAME: Final = Text("a name of 1 to 64 characters of A-Z a-z 0-9 . _ -", r"[A-Za-z0-9._-]{1,64}")
_CODEC: Final = Text("a codec such as PCMU", r"[A-Za-z0-9._-]{1,32}")
_HEADER: Final = Text("a header name", r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_PARAMETER: Final = Text("a name of 1 to 64 characters of A-Z a-z 0-9 . _ -", r"[A-Za-z0-9._-]{1,64}")
_HOST: Final = Text("a domain or an IP address", r"[A-Za-z0-9.:_*-]{1,253}")
_LINE: Final = Text("a line of text")

Name = Annotated[str, _NAME]


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """Where RTP is sent and received."""

    address: Annotated[Address, IpAddress()]
    """Address that the media sockets bind."""
    ports: Annotated[PortRange, Ports()] = _MEDIA_PORTS
    """UDP ports for RTP (even) and RTCP (odd). Each call takes two pairs, one for each leg."""
    threads: Annotated[int | None, Whole(1, 256, "auto")] = None
    """Threads of the media engine; `auto` is one for each core. A call stays on one thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Certificates for SIP over TLS: 1.2 and 1.3. New files are taken without a restart."""

    certificate: Annotated[Path, FilePath()]
    """Certificate in PEM, the gateway's own first, then those between it and its authority. Listeners show
    it, and connections that the gateway opens offer it to peers that ask for one."""
    key: Annotated[Path, FilePath()]
    """Its private key in PEM, without a passphrase."""
    client_ca: Annotated[Path | None, FilePath()] = None
    """Authorities in PEM. Peers that connect must then have a certificate of one of them; without it none is
    asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the gateway takes at most; beyond it a call is answered 503 with `Retry-After`."""

    max_calls: Annotated[int, Whole(1, 100_000)] = 2000
    """Calls at once."""
    calls_per_second: Annotated[int, Whole(1, 10_000)] = 200
    """New calls a second."""
    max_call_duration: Annotated[Seconds, Duration("1s", "24h")] = 4 * 3600
    """From the answer; then the gateway ends the call with verdict `max-duration`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """This gateway: where it listens, and its limits."""

    name: Name
    """Name of the gateway in logs, metrics and the journal."""
    sip: Annotated[tuple[SipListener, ...], ListOf(Listener(), 1, 64)]
    """Every transport that is listened on: `udp://`, `tcp://` or `tls://` with an address and a port (5060
    unless written, for `tls://` 5061)."""
    media: Media
    """Where RTP is sent and received."""
    advertise: Annotated[Address | None, IpAddress()] = None
    """Address in Contact, Via and SDP when it differs from the bound one, as behind one-to-one NAT. Wanted
    when a listener is bound to all addresses."""
    api: Annotated[ApiListener | None, ApiUrl()] = None
    """Where `/healthz`, `/readyz`, `/metrics` and, for those who have the token, calls (`/v1/calls`) are
    served. Without it they are not."""
    realm: Annotated[str | None, _LINE] = None
    """Realm that callers are asked for whose trunk names none; the node's name unless written."""
    database: Annotated[Path, Database()] = Path("sidestream.db")
    """Where the gateway keeps its files: `sqlite:///` with the path of a file, beside which the directories
    `journal` and `trace` are made. A relative path starts at the configuration file; one from the root has
    four slashes."""
    tls: Tls | None = None
    """Certificates for SIP over TLS, which every `tls://` listener wants."""
    limits: Limits = Limits()
    """What the gateway takes at most."""
    protection: Protection = _PROTECTION
    """How the gateway guards itself."""
    dns: Dns = _DNS
    """How the names of SIP peers are looked up."""
    response_timeout: Annotated[Seconds, Duration("500ms", "32s")] = 5
    """How long a SIP address may be silent before the next one of the peer, or the next peer, is tried. The
    last one has the 32 s of RFC 3261."""
    drain_timeout: Annotated[Seconds, Duration("0s", "24h")] = 30
    """How long calls may go on after SIGTERM."""
    media_timeout: Annotated[Seconds | None, Duration("1s", "24h", "off")] = 300
    """A call that nobody holds, and in which neither party has sent media for so long, is ended with verdict
    `media-timeout`; `off`: never."""
    trace: Trace = _TRACE
    """What is kept of each call for troubleshooting."""
    hep: Hep | None = None
    """A collector, such as HOMER, that gets the SIP messages and a quality report of each call."""
    deny_endpoints: Annotated[tuple[Network, ...], ListOf(IpNetwork(), 0, 256)] = DENIED_NETWORKS
    """Networks that no endpoint may be in, checked for each address that a name resolves to. The list takes
    the place of the default: link-local and metadata addresses."""

    def realm_of(self, auth: TrunkAuth) -> str:
        """The realm that callers of a trunk with these credentials are asked for."""
        return auth.realm if auth.realm != "*" else self.realm or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerTls:
    """How peers over TLS prove who they are (RFC 5922)."""

    ca: Annotated[Path | None, FilePath()] = None
    """Authorities in PEM that their certificates are verified against, in place of the system's."""
    verify: Annotated[Verify, Choice(Verify)] = Verify.NAME
    """`name`: the certificate is of a known authority and names the host of the peer's URI, or one of
    `names`. `chain`: of a known authority, whatever its name. `off`: anybody is believed. A `sips:` URI wants
    `name`."""
    names: Annotated[tuple[str, ...], ListOf(_HOST, 0, 64)] = ()
    """Domains or addresses that the certificate may name in place of the URI's host: all of a peer that is
    written by its address. With `node.tls.client_ca`, calls over TLS whose certificate names one of them are
    the trunk's, whatever address they come from, and no others over TLS are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One SIP address of a trunk."""

    uri: Annotated[PeerUri, SipPeer()]
    """Where calls are sent. Over UDP unless it says `;transport=tcp` or `;transport=tls`, or is a `sips:`
    URI."""
    priority: Annotated[int, Whole(0, 65535)] = 1
    """Lower is tried first."""
    weight: Annotated[int, Whole(0, 65535)] = 1
    """Share among peers of one priority; 0 comes last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkAuth:
    """SIP digest credentials of a trunk (RFC 3261 section 22, RFC 8760)."""

    username: Annotated[str, _LINE]
    """User name."""
    password: Annotated[Secret, SecretText()]
    """Password."""
    realm: Annotated[str, _LINE] = "*"
    """Realm they are for. `*`: they answer challenges of any realm, and callers are asked for
    `node.realm`."""
    require_auth: Annotated[bool, Flag()] = False
    """Whether calls from this trunk must have them. Requests within a call are not asked again."""
    any_source: Annotated[bool, Flag()] = False
    """Whether calls with them are this trunk's wherever they come from, besides those from its own
    addresses. Wants `require_auth`."""
    algorithms: Annotated[tuple[DigestAlgorithm, ...], ListOf(Choice(DigestAlgorithm), 1, 3)] = (
        DigestAlgorithm.SHA_256,
        DigestAlgorithm.MD5,
    )
    """What callers are offered, the one wanted most first. Leave MD5 out where every caller knows
    SHA-256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """How a trunk is registered at its provider (RFC 3261 section 10), so that calls find this gateway."""

    aor: Annotated[PeerUri, SipPeer("udp", 'an address of record such as "sip:desk@provider.example"')]
    """Address of record. Its host is the domain that registrations are for."""
    registrars: Annotated[tuple[PeerUri, ...], ListOf(SipPeer(), 0, 16, single=True)] = ()
    """Where REGISTER is sent: the next one when one fails. The trunk's peers unless written."""
    proxy: Annotated[PeerUri | None, SipPeer()] = None
    """Outbound proxy that REGISTER and calls are sent through, in place of straight to their targets. A
    service route that the registrar gives (RFC 3608) goes before it for calls."""
    expires: Annotated[Seconds, Duration("60s", "24h")] = 3600
    """Life asked for. The registrar may give less; a refresh goes at four fifths of it."""
    retry: Annotated[Seconds, Duration("1s", "1h")] = 30
    """How long after a failure it is tried again, doubled each time up to half an hour."""
    gin: Annotated[bool, Flag()] = False
    """Whether all numbers of the trunk are registered at once, as a PBX does (RFC 6140)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trunk:
    """The SIP connection of a voice service."""

    peers: Annotated[tuple[Peer, ...], ListOf(None, 0, 256)] = ()
    """Where its calls are sent: by priority, then by weight. The next one is tried on 503, on no answer in
    time and when it can't be reached. Without a peer the trunk only takes calls."""
    outbound_proxy: Annotated[PeerUri | None, SipPeer()] = None
    """Proxy that every call of this trunk goes through on its way to a peer, as a preloaded Route (RFC 3261,
    section 8.1.2). Where it also sends calls, its addresses belong into `match`."""
    match: Annotated[tuple[Network, ...], ListOf(IpNetwork(), 0, 1024)] = ()
    """Source addresses whose calls are this trunk's. Those of its peers always are; the longest match
    wins."""
    auth: TrunkAuth | None = None
    """SIP digest credentials: what its peers get when they ask, and what its callers are asked for."""
    register: Registration | None = None
    """How it is registered at its provider; without it it is not."""
    trusted: Annotated[bool, Flag()] = True
    """Whether the far side belongs to those who vouch for identities and keep withheld ones to themselves
    (RFC 3325): `P-Asserted-Identity`, `P-Preferred-Identity` and `Remote-Party-ID` cross only from a trusted
    trunk to a trusted trunk. To one that is not trusted, what the caller's `Privacy` asks for is done here
    (RFC 3323). Write `false` for a far side that you have no agreement with."""
    caller_id: Annotated[str | None, NUMBER] = None
    """Number that calls to this trunk present in `From` in place of the caller's, unless the caller is
    anonymous. Asserted identities stay."""
    numbers: TrunkNumbers = _NO_NUMBERS
    """How numbers are rewritten on their way from it and to it."""
    codecs: Annotated[tuple[str, ...], ListOf(_CODEC, 1, 32)] = ("PCMU", "PCMA", "telephone-event")
    """Codecs that a call on this trunk may use. Audio is relayed as it is, whatever the codec; streams can
    hear PCMU, PCMA and L16."""
    srtp: Annotated[Srtp, Choice(Srtp)] = Srtp.OFF
    """Encryption of its media: SRTP, with keys in the session description (SDES). `off`: plain RTP; a call
    that comes with SRTP only is refused. `optional`: a call that comes is answered as it was offered, and a
    peer that is called is offered SRTP first, and plain RTP if it refuses that. `required`: a call that comes
    without SRTP is refused with 488, and only SRTP is offered. The keys are as safe as the SIP that carries
    them: use TLS."""
    options_ping: Annotated[Seconds | None, Duration("1s", "1h", "off")] = None
    """How often peers are asked for a sign of life by OPTIONS. One that is down is tried after those that are
    up; with `off` only the calls themselves show it."""
    prack: Annotated[Extension, Choice(Extension)] = Extension.SUPPORTED
    """Reliable provisional responses (100rel, RFC 3262): `off` never uses them, `supported` wherever the far
    side knows them, `required` refuses callers that don't know them (421) and requires them of its peers."""
    session_timer: Annotated[Extension, Choice(Extension)] = Extension.SUPPORTED
    """Session timers (RFC 4028), by which a call that one side lost is noticed: `off`, with far sides that
    know them (`supported`), or with no others (`required`)."""
    session_expires: Annotated[Seconds, Duration("90s", "24h")] = 1800
    """Interval within which a session is refreshed, in whole seconds."""
    min_se: Annotated[Seconds, Duration("90s", "24h")] = 90
    """Shortest interval that the far side may ask for; a shorter one is answered 422."""
    redirect: Annotated[Redirect, Choice(Redirect)] = Redirect.PASS
    """What becomes of a redirection (3xx) by a peer: `pass` tells the caller, with its contacts; `follow`
    tries the contacts in the order of their q, eight at most and none twice. Contacts at other hosts than
    the trunk's peers never get its credentials."""
    tls: PeerTls | None = None
    """How its peers over TLS prove who they are."""
    require_tls: Annotated[bool, Flag()] = False
    """Whether its calls are taken over TLS only."""
    max_calls: Annotated[int | None, Whole(1, 100_000, "unlimited")] = None
    """Calls at once on this trunk; `unlimited`: as many as the gateway takes."""
    message_rate: Annotated[int | None, Whole(1, 1_000_000, "unlimited")] = None
    """SIP messages a second from all its addresses together; the rest is dropped unread. A call takes some
    ten."""

    @property
    def neighbours(self) -> tuple[PeerUri, ...]:
        """Whose calls are this trunk's: its peers, and where it is registered."""
        register = self.register
        proxy = (register.proxy,) if register and register.proxy else ()
        return (*(peer.uri for peer in self.peers), *(register.registrars if register else ()), *proxy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Basic:
    """Basic authentication (RFC 7617)."""

    username: Annotated[str, Text("a user name without a colon", r"[^:\x00-\x1f\x7f]{1,256}")]
    """User name."""
    password: Annotated[Secret, SecretText()]
    """Password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointAuth:
    """What an endpoint knows the gateway by."""

    bearer: Annotated[Secret | None, SecretText()] = None
    """Token for `Authorization: Bearer`."""
    basic: Basic | None = None
    """User name and password for `Authorization: Basic`."""
    headers: Annotated[tuple[tuple[str, Secret], ...], MapOf(_HEADER, SecretText(), 32)] = ()
    """Secret values of headers, such as an API key."""
    hmac: Annotated[Unavailable | None, Later()] = None
    """Signature of the request. Not available in this version."""
    oauth2: Annotated[Unavailable | None, Later()] = None
    """Client credentials. Not available in this version."""
    client_certificate: Annotated[Unavailable | None, Later()] = None
    """Certificate for mutual TLS. Not available in this version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaStreamIntegration:
    """A live copy of a call's audio to an endpoint of yours, by the media stream protocol.

    A stream begins for each call that comes from the voice service or goes to it. It never touches the call.
    """

    TYPE: ClassVar[str] = "media_stream"

    name: Name
    """Name of the integration. One that stands with the same settings on both services of a call is used
    once."""
    urls: Annotated[tuple[str, ...], ListOf(EndpointUrl(), 1, 16, single=True), Key("url")]
    """Where streams connect to; a list is tried in order, again and again, within the reconnection window."""
    ca: Annotated[Path | None, FilePath()] = None
    """Certificate authorities in PEM that the endpoint's certificate is verified against, in place of the
    system's."""
    encoding: Annotated[Encoding, Choice(Encoding)] = Encoding.CALL
    """Encoding of the audio; `call` is the call's own at its answer, so that payloads are passed on bit for
    bit. G722 and OPUS are not available in this version."""
    sample_rate: Annotated[int | None, Whole(8000, 48000)] = None
    """Samples a second: 8000 for PCMU and PCMA; 8000, 16000, 24000 or 48000 for L16. 8000 unless written; not
    with `encoding: call`."""
    frame: Annotated[Seconds, Duration("10ms", "200ms")] = 0.02
    """Audio in one message, in whole milliseconds."""
    layout: Annotated[Layout, Choice(Layout)] = Layout.SEPARATE
    """How both sides are carried: each in messages of its own, sample by sample in one, or summed."""
    flush: Annotated[Seconds, Duration("0ms", "200ms")] = 0.02
    """How long audio may wait for more, so that one write carries it all; `0ms`: each frame at once."""
    start_on: Annotated[StartOn, Choice(StartOn)] = StartOn.ANSWER
    """When the stream begins: at the answer, or with the first early media."""
    auth: EndpointAuth = EndpointAuth()
    """What the endpoint knows the gateway by."""
    headers: Annotated[tuple[tuple[str, Template], ...], MapOf(_HEADER, TemplateText(), 32)] = ()
    """Headers of the upgrade request, with variables."""
    parameters: Annotated[tuple[tuple[str, Template], ...], MapOf(_PARAMETER, TemplateText(), 32)] = ()
    """What `start.parameters` says, with variables."""
    forward_headers: Annotated[tuple[str, ...], ListOf(_HEADER, 0, 32)] = ()
    """SIP headers of the call that the endpoint is told in `call.headers`."""
    allow_insecure: Annotated[bool, Flag()] = False
    """Whether `ws://` is taken: audio and credentials then travel in the clear."""
    jitter_window: Annotated[Seconds, Duration("0ms", "1s")] = 0.06
    """How long a packet that is missing is waited for before its place is silence."""
    queue: Annotated[Seconds, Duration("1s", "60s")] = 10
    """Audio that waits for a slow endpoint at most; beyond it the oldest is dropped and accounted for."""
    replay: Annotated[Seconds, Duration("0s", "60s")] = 10
    """Audio kept after it was sent, for an endpoint that comes back after a lost connection."""
    ping_interval: Annotated[Seconds, Duration("1s", "5m")] = 15
    """How often the endpoint is pinged; two missed pongs are a lost connection."""
    reconnect_window: Annotated[Seconds, Duration("0s", "1h")] = 60
    """How long a connection is tried to be made, or made again; then the stream ends."""
    connect_timeout: Annotated[Seconds, Duration("100ms", "30s")] = 5
    """For one attempt: TCP, TLS and upgrade together."""

    @property
    def rate(self) -> int:
        """Samples a second of an encoding that is not `call`."""
        return self.sample_rate or 8000


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderAuth:
    """SIP digest credentials for a recording server (RFC 3261 section 22, RFC 8760)."""

    username: Annotated[str, _LINE]
    """User name."""
    password: Annotated[Secret, SecretText()]
    """Password."""
    realm: Annotated[str, _LINE] = "*"
    """Realm they are for; `*`: any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingServer:
    """One recording server, and how it wants to be spoken to."""

    uri: Annotated[PeerUri, SipPeer("tcp", 'a SIP URI such as "sip:192.0.2.30:5060;transport=tcp"')]
    """Where recording sessions are sent. Over TCP unless it says `;transport=udp` or `;transport=tls`, or is
    a `sips:` URI: an INVITE with metadata is too large for most networks' UDP packets."""
    priority: Annotated[int, Whole(0, 65535)] = 1
    """Lower is tried first."""
    weight: Annotated[int, Whole(0, 65535)] = 1
    """Share among servers of one priority; 0 comes last."""
    metadata_type: Annotated[MetadataName, Choice(MetadataName)] = MetadataName.XML
    """Name of the metadata's media type. The other one is tried by itself after a 415."""
    metadata: Annotated[Documents, Choice(Documents)] = Documents.COMPLETE
    """Whether each change is told as a complete document or only as what changed."""
    update: Annotated[bool, Flag()] = True
    """Whether changes of the metadata alone go by UPDATE; else by re-INVITE. A server that refuses UPDATE
    gets re-INVITEs by itself."""
    metadata_in_bye: Annotated[bool, Flag()] = False
    """Whether the last document rides in the BYE (RFC 8068), instead of an UPDATE before it."""
    auth: RecorderAuth | None = None
    """What it gets when it asks for credentials."""
    session_expires: Annotated[Seconds | None, Duration("90s", "24h", "off")] = 1800
    """Interval within which the recording session is refreshed (RFC 4028); `off`: only when the server asks
    for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiprecIntegration:
    """A recording of calls by a SIPREC recording server (RFC 7866).

    One begins for each call that comes from the voice service or goes to it.
    """

    TYPE: ClassVar[str] = "siprec"

    name: Name
    """Name of the integration. One that stands with the same settings on both services of a call is used
    once."""
    servers: Annotated[tuple[RecordingServer, ...], ListOf(None, 1, 64)]
    """Recording servers: by priority, then by weight. The next one is tried when one refuses, fails or does
    not answer in time, at the begin and in mid-call."""
    tls: PeerTls | None = None
    """How servers over TLS prove who they are."""
    strategy: Annotated[Strategy, Choice(Strategy)] = Strategy.HUNT
    """Whether each call begins with the first server or with the next one in turn; priorities go before
    either."""
    copies: Annotated[int, Whole(1, 3)] = 1
    """Recordings of each call, in parallel and with the same identifiers, on different servers where there
    are enough."""
    policy: Annotated[Policy, Choice(Policy)] = Policy.BEST_EFFORT
    """`best_effort`: the call is never touched nor delayed. `mandatory`: a server must have agreed to record
    before the call is passed on; else it is refused with 503 and verdict `recording-required`."""
    on_loss: Annotated[OnLoss, Choice(OnLoss)] = OnLoss.CONTINUE
    """What the loss of a mandatory recording in mid-call means, when no other server takes over."""
    x_headers: Annotated[
        tuple[tuple[str, Template], ...],
        MapOf(Text("a header name", r"[^\x00-\x1f\x7f]{1,256}"), TemplateText(), 64),
    ] = ()
    """Headers of INVITE and re-INVITEs to the server, at most five, with variables."""
    dtmf: Annotated[Dtmf, Choice(Dtmf)] = Dtmf.RELAY
    """Whether key presses (RFC 4733) are sent to the recorder. Their tones are in no recording either way."""
    srtp: Annotated[RecordingSrtp, Choice(RecordingSrtp)] = RecordingSrtp.CALL
    """Encryption on the way to the server. `call`: a call with SRTP on one of its legs is recorded by SRTP,
    and is not recorded by a server that has none. `required`: so is every call. `off`: none is, whatever the
    call itself is carried by. The keys are as safe as the SIP that carries them: use TLS."""
    start_on: Annotated[StartOn, Choice(StartOn)] = StartOn.ANSWER
    """When the recording begins: at the answer, or with the first early media. A mandatory one begins before
    the call is passed on."""
    early: Annotated[Seconds, Duration("0s", "5s")] = 2
    """Audio kept until a server has answered, and sent then, so that the first word is recorded."""
    setup_deadline: Annotated[Seconds, Duration("500ms", "30s")] = 5
    """How long a server may be looked for, all attempts together and whatever they answer in between."""
    options_ping: Annotated[Seconds | None, Duration("1s", "1h", "off")] = 30
    """How often servers are asked for a sign of life by OPTIONS. One that fails three times in a row is left
    out for 30 seconds, or until it answers again."""
    retry: Annotated[Seconds | None, Duration("1s", "1h", "off")] = 30
    """How long after all servers failed a recording looks for one again; `off`: never."""
    stop_codes: Annotated[tuple[int, ...], ListOf(Whole(300, 699), 0, 64)] = (403, 603)
    """Statuses by which a server says that a call is not to be recorded anywhere: no other one is tried."""


Integration = MediaStreamIntegration | SiprecIntegration


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceService:
    """A carrier, contact centre, platform or voice gateway that calls come from and go to."""

    name: Name
    """Name of the voice service, unique in the account."""
    kind: Annotated[VoiceServiceKind, Choice(VoiceServiceKind)]
    """What it is. An account has one `voice_gateway` at most."""
    trunk: Trunk | None = None
    """Its SIP connection."""
    integrations: Annotated[tuple[Integration, ...], ListOf(None, 0, 64)] = ()
    """What is done with its calls beside carrying them."""

    @property
    def media_streams(self) -> tuple[MediaStreamIntegration, ...]:
        """Its integrations of type `media_stream`, in order."""
        return tuple(each for each in self.integrations if isinstance(each, MediaStreamIntegration))

    @property
    def recordings(self) -> tuple[SiprecIntegration, ...]:
        """Its integrations of type `siprec`, in order."""
        return tuple(each for each in self.integrations if isinstance(each, SiprecIntegration))


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Takes calls from one voice service to another."""

    source: Annotated[str, _NAME, Key("from")]
    """Voice service that the call comes from."""
    target: Annotated[str, _NAME, Key("to")]
    """Voice service that it goes to."""
    match: Annotated[re.Pattern[str] | None, Pattern()] = None
    """Regular expression that is searched in the called number, as the rules of the trunk made it; without it
    every number fits."""
    numbers: Numbers | None = None
    """How numbers are rewritten on this route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A tenant: its voice services and the routes between them."""

    name: Name
    """Name of the account."""
    suspended: Annotated[bool, Flag()] = False
    """Whether it is suspended: all its calls are answered 403, and its trunks are not registered."""
    subscriptions: Annotated[tuple[Subscription, ...], ListOf(Choice(Subscription), 0, 16)] = ()
    """What it may use; an integration wants `voice-integration`."""
    voice_services: Annotated[tuple[VoiceService, ...], ListOf(None, 0, 10_000)] = ()
    """What its calls come from and go to."""
    routes: Annotated[tuple[Route, ...], ListOf(None, 0, 10_000)] = ()
    """Where calls go; the first that fits the voice service and the called number is taken."""

    def service(self, name: str) -> VoiceService | None:
        """The voice service of a name."""
        return next((each for each in self.voice_services if each.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Everything that a gateway runs from."""

    node: Node
    """This gateway: where it listens, and its limits."""
    accounts: Annotated[tuple[Account, ...], ListOf(None, 0, 10_000)] = ()
    """The tenants."""

    def services(self) -> Iterator[tuple[Account, VoiceService]]:
        """Every voice service with its account, in the order of the file."""
        for account in self.accounts:
            for service in account.voice_services:
                yield account, service
