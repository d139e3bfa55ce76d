import msgspec

from sidestream.observe.call_trace import CallTrace
from sidestream.observe.ladder import ladder
from trace_script import DESK, SDP, a_call, message, sip

PICTURE = """\
call 019aa000-0000-7000-8000-000000000001, begun 2025-11-24T16:00:00.123456Z
                   caller              sidestream              callee               recorder
                  carrier                 gw-1                  desk               compliance
             udp 192.0.2.1:5080                         udp 192.0.2.33:5090   tcp [2001:db8::5]:5…
  0.000000            │───────INVITE───────▶│                     │                     │
             audio 192.0.2.1:4000 PCMU PCMA telephone-event sendrecv
  0.001000            │◀100 Trying (INVITE)─│                     │                     │
  0.002000            │                     │───────INVITE───────▶│                     │
             audio 192.0.2.1:4000 PCMU PCMA telephone-event sendrecv
  1.500000            │                     │◀──200 OK (INVITE)───│                     │
             audio 192.0.2.1:4000 PCMU PCMA telephone-event sendrecv
  1.501000            │◀──200 OK (INVITE)───│                     │                     │
             audio 192.0.2.1:4000 PCMU PCMA telephone-event sendrecv
  1.502000            │                     │──────────────────INVITE──────────────────▶│
             audio 192.0.2.1:4000 PCMU PCMA telephone-event sendrecv
  1.502500 * stream begun  integration=live
  1.510000            │                     │◀─────────────200 OK (INVITE)──────────────│
             audio 192.0.2.1:4000 PCMU PCMA telephone-event sendrecv
  9.000000            │─────────BYE────────▶│                     │                     │
  9.000100 * call ended  verdict=caller-hung-up detail="The caller hung up."
"""


def test_the_picture_of_a_call() -> None:
    assert ladder(a_call()) == PICTURE


def test_peers_that_were_tried_have_columns_of_their_own() -> None:
    invite = sip("INVITE sip:x SIP/2.0", SDP)
    messages = [
        message(invite),
        message(invite, 0.1, leg="callee", sent=True, remote=("192.0.2.40", 5060)),
        message(invite, 5.1, leg="callee", sent=True, remote=DESK),
    ]
    title = ladder(CallTrace("x", "gw", messages)).splitlines()[1]
    assert title.split() == ["caller", "sidestream", "callee", "callee"]


def test_what_was_left_out_is_told_and_an_empty_trace_is_drawn() -> None:
    assert "(7 messages and events" in ladder(msgspec.structs.replace(a_call(), omitted=7))
    assert ladder(CallTrace("x", "gw")).startswith("call x: nothing was kept\n")


def test_messages_in_full_follow_their_arrow() -> None:
    lines = ladder(a_call(), full=True).splitlines()
    assert "             | CSeq: 1 INVITE" in lines
