"""Two parsers we did not write read our messages as we do: aiosipua and sipmessage."""

import aiosipua
import sipmessage
from hypothesis import assume, given

from sidestream.sip.headers import NameAddr, Via, parse_name_addr, parse_via
from sidestream.sip.message import Message, Request
from sidestream.sip.parser import parse_message
from sidestream.sip.serializer import serialize
from sidestream.sip.uri import SipUri, parse_uri
from sip_strategies import messages, name_addrs, requests, sip_uris, vias


def plain(uri: SipUri) -> bool:
    """Whether both grammars have it: sipmessage knows no headers part and no other than DNS names."""
    return not uri.headers and not uri.host.endswith(".") and "_" not in uri.host


@given(messages)
def test_aiosipua_reads_the_same_start_line_headers_and_body(message: Message) -> None:
    # It ends a quoted string at an escaped quote.
    assume(not any("\\" in value for value in message.headers.get_all("Via")))
    other = aiosipua.SipMessage.parse(serialize(message))
    mine = parse_message(serialize(message))
    assert other.body == mine.body
    assert other.call_id == mine.call_id
    if isinstance(mine, Request):
        assert isinstance(other, aiosipua.SipRequest)
        assert (other.method, other.uri) == (mine.method, mine.uri)
    else:
        assert isinstance(other, aiosipua.SipResponse)
        assert other.status_code == mine.status
    assert [via.branch for via in other.via] == [via.branch for via in mine.vias]
    cseq = other.cseq
    assert cseq is not None
    assert (cseq.seq, cseq.method) == (mine.cseq.number, mine.cseq.method)


@given(requests())
def test_sipmessage_reads_the_same_headers_and_body(request: Request) -> None:
    uri = parse_uri(request.uri)
    assume(isinstance(uri, SipUri) and plain(uri))
    other = sipmessage.Message.parse(serialize(request))
    mine = parse_message(serialize(request))
    assert isinstance(other, sipmessage.Request)
    assert isinstance(mine, Request)
    assert (other.method, other.body) == (mine.method, mine.body)
    for name in ("Via", "From", "To", "Call-ID", "CSeq", "Contact"):
        assert other.headers.getlist(name) == mine.headers.get_all(name)


@given(sip_uris)
def test_sipmessage_reads_the_same_uri(uri: SipUri) -> None:
    assume(plain(uri))
    other = sipmessage.URI.parse(str(uri))
    mine = parse_uri(str(uri))
    assert isinstance(mine, SipUri)
    assert (other.scheme, other.host, other.port) == (mine.scheme, mine.host, mine.port)
    assert dict(other.parameters) == dict(mine.params)


@given(vias)
def test_sipmessage_reads_the_same_via(via: Via) -> None:
    assume(not via.host.endswith(".") and "_" not in via.host)
    # It takes every kind of space in a quoted parameter for a plain one, and undoes escapes as in a URI.
    assume(not any(value and ('"' in value or "%" in value) for value in via.params.values()))
    other = sipmessage.Via.parse(str(via))
    mine = parse_via(str(via))
    assert (other.transport, other.host, other.port) == (mine.transport, mine.host, mine.port)
    assert dict(other.parameters) == dict(mine.params)


@given(name_addrs)
def test_aiosipua_reads_the_same_address(address: NameAddr) -> None:
    other = aiosipua.parse_address(str(address))
    mine = parse_name_addr(str(address))
    assert str(mine.uri) in (str(other.uri), str(address.uri))
    assert other.tag == mine.tag
