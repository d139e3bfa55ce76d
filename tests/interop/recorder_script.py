"""Recording servers by SIPp: scenarios put together from steps, and sockets that take what they are sent."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from interop.harness import Load, Sipp, media_port, sip_port, sipp

RECORDER_HOST = "127.0.0.4"

REQUEST_HEAD = """\
      {method} [next_url] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      [routes]
      From[$to];tag=r[call_number]
      To[$from]
      Call-ID: [call_id]
      CSeq: {cseq} {method}
      Contact: <sip:recorder@[local_ip]:[local_port];transport=[transport]>;+sip.srs
      Max-Forwards: 70
"""

SNAPSHOT = """\
      <?xml version="1.0" encoding="UTF-8"?>
      <requestsnapshot xmlns="urn:ietf:params:xml:ns:recording:1">
      <requestreason xml:lang="en">begun anew</requestreason>
      </requestsnapshot>
"""

CATCH = """\
    <action>
      <ereg regexp=".*" search_in="hdr" header="From" assign_to="from"/>
      <ereg regexp=".*" search_in="hdr" header="To" assign_to="to"/>
    </action>
"""


@dataclass(frozen=True)
class Lines:
    """How a recorder answers the two streams of an offer.

    Attributes:
        ports: of both streams; 0 refuses one.
        direction: of both.
        labels: whether they are named.
    """

    ports: tuple[int, int]
    direction: str = "recvonly"
    labels: bool = True

    def sdp(self, version: int = 1) -> str:
        text = [
            "v=0",
            f"o=recorder 4711 {version} IN IP4 [local_ip]",
            "s=-",
            "c=IN IP4 [local_ip]",
            "t=0 0",
        ]
        for number, port in enumerate(self.ports, 1):
            text += [
                f"m=audio {port} RTP/AVP 0 101",
                "a=rtpmap:0 PCMU/8000",
                "a=rtpmap:101 telephone-event/8000",
            ]
            if port:
                text.append(f"a={self.direction}")
            if self.labels:
                text.append(f"a=label:{number}")
        return "\n".join("      " + line for line in text) + "\n"


def _send(text: str, *, retrans: bool = False, follow: str = "") -> str:
    attributes = (' retrans="500"' if retrans else "") + (f' next="{follow}"' if follow else "")
    return f"  <send{attributes}>\n    <![CDATA[\n\n{text}\n    ]]>\n  </send>\n"


def receive(what: str, *, optional: bool = False, follow: str = "", catch: bool = False) -> str:
    """Wait for a request (by its method) or a response (by its status)."""
    kind = "response" if what.isdigit() else "request"
    attributes = f' {kind}="{what}"'
    attributes += ' optional="true"' if optional else ""
    attributes += f' next="{follow}"' if follow else ""
    attributes += ' rrs="true"' if what == "INVITE" else ""
    return f"  <recv{attributes}>\n{CATCH}  </recv>\n" if catch else f"  <recv{attributes}/>\n"


def respond(
    status: str,
    lines: Lines | None = None,
    *,
    new: bool = False,
    follow: str = "",
    multipart: bool = False,
    version: int = 1,
) -> str:
    """Answer the last request.

    Args:
        status: code and phrase.
        lines: the description, if there is one.
        new: whether it makes the dialog.
        follow: where to go on.
        multipart: whether a document stands beside the description.
        version: of the description.
    """
    tag = ";tag=r[call_number]" if new else ""
    head = f"      SIP/2.0 {status}\n      [last_Via:]\n      [last_From:]\n      [last_To:]{tag}\n"
    head += "      [last_Call-ID:]\n      [last_CSeq:]\n"
    head += "      Contact: <sip:recorder@[local_ip]:[local_port];transport=[transport]>;+sip.srs\n"
    head += "      Allow: INVITE, ACK, BYE, CANCEL, UPDATE, OPTIONS\n"
    if lines is None:
        return _send(f"{head}      Content-Length: 0\n", follow=follow)
    sdp = lines.sdp(version)
    if multipart:
        head += "      Content-Type: multipart/mixed; boundary=unique\n      Content-Length: [len]\n\n"
        body = f"      --unique\n      Content-Type: application/sdp\n\n{sdp}      --unique\n"
        body += "      Content-Type: application/rs-metadata+xml\n"
        body += f"      Content-Disposition: recording-session\n\n{SNAPSHOT}      --unique--\n"
        return _send(head + body, follow=follow)
    head += "      Content-Type: application/sdp\n      Content-Length: [len]\n\n"
    return _send(head + sdp, retrans=False, follow=follow)


def ask(method: str, cseq: int, lines: Lines | None = None, *, version: int = 2, document: str = "") -> str:
    """Send a request of the recorder's own."""
    head = REQUEST_HEAD.format(method=method, cseq=cseq)
    if lines is not None:
        head += "      Content-Type: application/sdp\n      Content-Length: [len]\n\n" + lines.sdp(version)
    elif document:
        head += "      Content-Type: application/rs-metadata+xml\n"
        head += f"      Content-Disposition: recording-session\n      Content-Length: [len]\n\n{document}"
    else:
        head += "      Content-Length: 0\n"
    return _send(head)


def acknowledge(cseq: int) -> str:
    """Send the ACK of a re-INVITE."""
    head = REQUEST_HEAD.format(method="ACK", cseq=cseq)
    return _send(f"{head}      Content-Length: 0\n")


def wait(milliseconds: int) -> str:
    """Say nothing for a while."""
    return f'  <pause milliseconds="{milliseconds}"/>\n'


def taken(lines: Lines, *, catch: bool = True, multipart: bool = False) -> str:
    """Accept an INVITE."""
    answer = respond("200 OK", lines, new=True, multipart=multipart)
    return receive("INVITE", catch=catch) + answer + receive("ACK")


def serve(lines: Lines) -> str:
    """Go on until BYE, and take every change in between."""
    return (
        '  <label id="serve"/>\n'
        + receive("UPDATE", optional=True, follow="update")
        + receive("INVITE", optional=True, follow="invite")
        + receive("BYE", follow="bye")
        + '  <label id="update"/>\n'
        + respond("200 OK", lines, follow="serve")
        + '  <label id="invite"/>\n'
        + respond("200 OK", lines)
        + receive("ACK", follow="serve")
        + '  <label id="bye"/>\n'
        + respond("200 OK")
    )


def scenario(directory: Path, name: str, *steps: str) -> str:
    """Write a scenario, and return what `harness.sipp` calls it."""
    used = '  <Reference variables="from,to"/>\n' if any(CATCH in step for step in steps) else ""
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="{name}">\n'
    text = f"{head}{''.join(steps)}{used}</scenario>\n"
    (directory / f"{name}.xml").write_text(text)
    return str(directory / name)


@dataclass
class Sink:
    """A socket that takes the RTP of one stream."""

    socket: socket.socket
    packets: list[tuple[float, bytes]] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.socket.getsockname()[1])

    def payloads(self) -> list[bytes]:
        """Return the payloads of audio packets, in order of arrival."""
        return [data[12:] for _, data in self.packets if data[1] & 0x7F in {0, 8}]

    def ssrcs(self) -> set[bytes]:
        """Return the sources that were heard."""
        return {data[8:12] for _, data in self.packets}


@dataclass
class Recorder:
    """One recording server: its SIP address, and where it takes both streams."""

    port: int
    sinks: tuple[Sink, Sink]

    @property
    def uri(self) -> str:
        """For an integration."""
        return f"sip:{RECORDER_HOST}:{self.port};transport=tcp"

    def die(self) -> None:
        """Take no media any more: the host says so to whoever sends some."""
        for sink in self.sinks:
            sink.socket.close()

    @property
    def lines(self) -> Lines:
        """The answer that accepts both streams."""
        return Lines((self.sinks[0].port, self.sinks[1].port))

    @property
    def heard(self) -> list[int]:
        """How many packets came on each stream."""
        return [len(sink.packets) for sink in self.sinks]


def _take(sink: Sink, over: threading.Event) -> None:
    while not over.is_set() and sink.socket.fileno() >= 0:
        with contextlib.suppress(TimeoutError, OSError):
            data = sink.socket.recv(2048)
            if len(data) > 12 and not 192 <= data[1] <= 223:
                sink.packets.append((time.monotonic(), data))


@contextlib.contextmanager
def recorders(count: int = 1) -> Iterator[list[Recorder]]:
    """Keep the sockets of so many recording servers; SIPp plays them in the test."""
    over = threading.Event()
    with contextlib.ExitStack() as stack:
        found, threads = [], []
        for _ in range(count):
            first = media_port(RECORDER_HOST)
            sinks = []
            for port in (first, first + 2):
                bound = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                bound.bind((RECORDER_HOST, port))
                bound.settimeout(0.1)
                reports = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                reports.bind((RECORDER_HOST, port + 1))
                sinks.append(Sink(bound))
                threads.append(threading.Thread(target=_take, args=(sinks[-1], over), daemon=True))
            found.append(Recorder(sip_port(RECORDER_HOST), (sinks[0], sinks[1])))
        for thread in threads:
            thread.start()
        try:
            yield found
        finally:
            over.set()
            for thread in threads:
                thread.join(2)


@contextlib.contextmanager
def playing(
    directory: Path, scripts: Sequence[tuple[Recorder, str, tuple[str, ...]]], calls: int = 1
) -> Iterator[list[Sipp]]:
    """Run a SIPp for each recorder, with its name and its steps, for so many recording sessions."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                sipp(
                    scenario(directory, name, *steps),
                    directory,
                    (RECORDER_HOST, recorder.port),
                    load=Load(
                        calls=calls, transport="t1", trace=calls == 1, media_port=media_port(RECORDER_HOST)
                    ),
                )
            )
            for recorder, name, steps in scripts
        ]
