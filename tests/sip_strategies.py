"""What hypothesis makes SIP of: well-formed URIs, addresses, messages, and bytes that are nearly messages."""

from hypothesis import strategies as st

from sidestream.sip.headers import CSeq, NameAddr, Via
from sidestream.sip.message import Headers, Message, Request, Response
from sidestream.sip.uri import OpaqueUri, SipUri

_TOKEN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.!%*_+`'~"
_TEXT = st.characters(exclude_categories=["Cs"], exclude_characters="\r\n")
_HOSTS = ["example.com", "a", "gw-1.x_y.example.com.", "192.0.2.7", "[2001:db8::1]", "[::ffff:192.0.2.1]"]
_USER_PIECES = [*"az09-_.!~*'()&=+$,;?/", "%00", "%2F", "%C3%A9"]

tokens = st.text(_TOKEN, min_size=1, max_size=12)
names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=8)
texts = st.text(_TEXT, max_size=30).map(lambda text: text.strip(" \t"))
hosts = st.sampled_from(_HOSTS)
ports = st.none() | st.integers(1, 65535)
users = st.lists(st.sampled_from(_USER_PIECES), min_size=1, max_size=10).map("".join)
quoted = texts.map(lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')
header_params = st.dictionaries(names, st.none() | tokens | quoted, max_size=3)
uri_params = st.dictionaries(names, st.none() | names, max_size=3)

sip_uris = st.builds(
    SipUri,
    scheme=st.sampled_from(["sip", "sips"]),
    user=st.none() | users,
    host=hosts,
    port=ports,
    params=uri_params,
    headers=st.sampled_from(["", "Subject=x", "a=1&b=2"]),
)
numbers = st.integers(100, 10**12).map(lambda number: f"+{number}")
uris = sip_uris | st.builds(OpaqueUri, scheme=st.just("tel"), rest=numbers)
name_addrs = st.builds(NameAddr, uri=uris, display_name=texts, params=header_params)
vias = st.builds(
    Via,
    transport=st.sampled_from(["UDP", "TCP", "TLS", "SCTP"]),
    host=hosts,
    port=ports,
    params=header_params.map(lambda params: {k: v for k, v in params.items() if k != "rport"}),
)
methods = st.sampled_from(["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "FROBNICATE"])
bodies = st.binary(max_size=80)
extra_headers = st.lists(st.tuples(names.map(lambda name: f"X-{name}"), texts), max_size=3)


@st.composite
def header_sets(draw: st.DrawFn, method: str) -> Headers:
    """Draw the headers a message must have, and some more."""
    headers = Headers([("Via", str(via)) for via in draw(st.lists(vias, min_size=1, max_size=2))])
    headers.add("From", str(draw(name_addrs)))
    headers.add("To", str(draw(name_addrs)))
    headers.add("Call-ID", draw(tokens))
    headers.add("CSeq", str(CSeq(draw(st.integers(0, 2**31 - 1)), method)))
    for contact in draw(st.lists(name_addrs, max_size=1)):
        headers.add("Contact", str(contact))
    for name, value in draw(extra_headers):
        headers.add(name, value)
    return headers


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Draw a well-formed request, its Content-Length last."""
    method = draw(methods)
    request = Request(method, str(draw(sip_uris)), draw(header_sets(method)), draw(bodies))
    request.headers.add("Content-Length", str(len(request.body)))
    return request


@st.composite
def responses(draw: st.DrawFn) -> Response:
    """Draw a well-formed response, its Content-Length last."""
    response = Response(
        draw(st.integers(100, 699)), draw(texts), draw(header_sets(draw(methods))), draw(bodies)
    )
    response.headers.add("Content-Length", str(len(response.body)))
    return response


messages: st.SearchStrategy[Message] = st.one_of(requests(), responses())

_PIECES = [
    b"INVITE", b" ", b"sip:a@b", b"SIP/2.0", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"Via", b"v", b":", b"\t",
    b'"', b"<", b">", b",", b";", b"=", b"SIP/2.0/UDP h", b"branch=z9hG4bK1", b"From", b"To", b"CSeq",
    b"1 INVITE", b"Call-ID: c", b"Content-Length: ", b"l: ", b"0", b"-1", b"9999999999", b"200 OK", b"\\",
    b"\xff", b"\x00", b"Require", b"Contact: ", b"*", b"%", b"@", b"[", b"]", b"Route: ", b"Accept: ",
]  # fmt: skip
nearly_sip = st.lists(st.sampled_from(_PIECES) | st.binary(max_size=3), max_size=60).map(b"".join)
