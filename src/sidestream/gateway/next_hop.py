"""The addresses that a request of a call is sent to, and the flow that it prefers (RFC 3263, RFC 5626)."""

from collections.abc import Sequence
from dataclasses import replace

from sidestream.call.commands import NextHop
from sidestream.sip.hop import Hop
from sidestream.sip.secure import is_secure


def hops_of(next_hop: NextHop, resolved: Sequence[Hop]) -> tuple[Hop, ...]:
    """Return where to send, in order; empty when nothing is known.

    The way by which the peer was last heard is preferred where a hop leads to the same transport and host: a
    connection is re-used as it is; over UDP only our socket is, since the peer's URI names the port that it
    wants. What cannot be resolved is answered on the way it came, unless that weakened a `sips` URI (RFC 3261
    §26.2.2).

    Args:
        next_hop: what the call knows.
        resolved: the hops of its URI; none when it leads nowhere.
    """
    if next_hop.hops:
        return next_hop.hops
    heard = next_hop.heard_from
    if heard is None or (is_secure(next_hop.uri) and heard.transport != "tls"):
        return tuple(resolved)
    if not resolved:
        return (heard,)
    same = [hop for hop in resolved if hop.transport == heard.transport and hop.host == heard.host]
    if not same:
        return tuple(resolved)
    others = tuple(hop for hop in resolved if hop not in same)
    if heard.reliable:
        return (heard, *same, *others)
    return (*(replace(hop, flow=heard.flow) for hop in same), *others)
