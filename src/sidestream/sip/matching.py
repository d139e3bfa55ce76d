"""Which transaction a message belongs to (RFC 3261 §17.1.3, §17.2.3, §8.2.2.2)."""

from __future__ import annotations

from sidestream.sip.headers import MAGIC_COOKIE, Via
from sidestream.sip.message import Request, Response

ClientMatch = tuple[str, str]
"""Branch and method of a request we sent."""
ServerMatch = tuple[str | int, ...]
"""What a received request and its repetitions have in common."""
MergeMatch = tuple[str, str, int, str]
"""From tag, Call-ID, CSeq number and method: equal in copies of one request that took different paths."""

_COOKIE = MAGIC_COOKIE.lower()


def client_match(response: Response) -> ClientMatch | None:
    """The client transaction a response names, None when it cannot be ours (RFC 3261 §17.1.3, §8.1.3.3)."""
    vias = response.vias
    branch = vias[0].branch
    return None if branch is None or len(vias) > 1 else (branch, response.cseq.method)


def is_unique(branch: str | None) -> bool:
    """Whether a branch is unique by RFC 3261 §8.1.1.7; else the sender speaks RFC 2543."""
    return branch is not None and len(branch) > len(_COOKIE) and branch[:7].lower() == _COOKIE


def server_match(request: Request, method: str) -> ServerMatch:
    """The server transaction of `method` that a request, its ACK or its CANCEL belongs to (RFC 3261 §17.2.3).

    Without a unique branch Request-URI, From tag, Call-ID, CSeq number and topmost Via decide, as RFC 2543
    has it. The To tag, which an ACK has and its INVITE had not, is compared by the caller.

    Args:
        request: the request, its Via not yet stamped.
        method: the method of the transaction looked for.
    """
    via = request.top_via
    if is_unique(via.branch):
        return via.branch or "", via.sent_by, method
    return (
        request.uri,
        request.from_tag or "",
        request.call_id,
        request.cseq.number,
        _as_sent(via),
        method,
    )


def _as_sent(via: Via) -> str:
    return str(Via(via.transport, via.host.lower(), via.port, via.params))


def merge_match(request: Request) -> MergeMatch | None:
    """What tells a merged request; None for one inside a dialog, which never is (RFC 3261 §8.2.2.2)."""
    if request.to_tag is not None:
        return None
    return request.from_tag or "", request.call_id, request.cseq.number, request.method
