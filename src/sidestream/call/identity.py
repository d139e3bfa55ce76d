"""What a party says about itself in mid-call (RFC 3325, RFC 4916)."""

from sidestream.call.context import CallContext
from sidestream.call.facts import HeadersChanged, ParticipantUpdated
from sidestream.call.headers_policy import end_to_end
from sidestream.call.leg import Leg
from sidestream.call.participants import updated
from sidestream.sip.message import Message, Request


def note_identity(ctx: CallContext, leg: Leg, message: Message) -> bool:
    """Report an asserted identity that is new, and the headers of a re-INVITE or UPDATE that are others.

    What a trunk asserts that is not trusted is not believed (RFC 3325 5).

    Returns:
        Whether there was anything new.
    """
    before = (leg.participant, leg.headers)
    participant = updated(leg.participant, message) if leg.setup.trusted else leg.participant
    if participant != leg.participant:
        leg.participant = participant
        ctx.report(ParticipantUpdated(ctx.at, participant))
    if isinstance(message, Request):
        headers = tuple(end_to_end(message.headers))
        if headers != leg.headers:
            leg.headers = headers
            ctx.report(HeadersChanged(ctx.at, leg.side, headers))
    return before != (leg.participant, leg.headers)
