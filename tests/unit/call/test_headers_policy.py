import pytest

from sidestream.call.headers_policy import HeaderPolicy, end_to_end
from sidestream.sip.message import Headers

PASS = [
    "P-Asserted-Identity", "Privacy", "Remote-Party-ID", "Identity", "Date", "Diversion", "History-Info",
    "User-to-User", "Reason", "X-Anything", "x-lower", "Session-ID", "Geolocation", "Alert-Info",
    "Call-Info", "Subject", "Priority", "Warning", "Retry-After", "P-Charging-Vector", "P-Early-Media",
]  # fmt: skip
OURS = [
    "Via", "From", "To", "Call-ID", "CSeq", "Contact", "Route", "Record-Route", "Max-Forwards", "Allow",
    "Supported", "Require", "Session-Expires", "Min-SE", "Authorization", "Proxy-Authorization",
    "WWW-Authenticate", "Content-Type", "Content-Length", "User-Agent", "Server", "RSeq", "RAck",
]  # fmt: skip


@pytest.mark.parametrize("name", PASS)
def test_what_is_said_end_to_end_passes(name: str) -> None:
    assert HeaderPolicy().passes(name)
    assert HeaderPolicy().passes(name.upper())


@pytest.mark.parametrize("name", OURS)
def test_what_names_a_hop_or_a_dialog_is_ours(name: str) -> None:
    assert not HeaderPolicy().passes(name)
    assert not list(end_to_end(Headers([(name, "1")])))


def test_a_policy_may_be_another() -> None:
    policy = HeaderPolicy(names=frozenset({"subject"}), prefixes=())
    assert policy.passes("Subject")
    assert not policy.passes("X-A")


def test_what_is_unknown_is_told_although_it_does_not_pass() -> None:
    headers = Headers([("P-Access-Network-Info", "x"), ("Via", "y"), ("X-A", "z")])
    assert list(end_to_end(headers)) == [("P-Access-Network-Info", "x"), ("X-A", "z")]
    assert not HeaderPolicy().passes("P-Access-Network-Info")
