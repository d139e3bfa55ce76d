from datetime import timedelta

import pytest

from call_script import BEGAN, CallBench, every
from sidestream.call.commands import ClearTimer, Respond
from sidestream.call.events import TimerName
from sidestream.call.side import Side
from sidestream.errors import StateError


def test_the_codecs_of_a_call_are_those_of_both_trunks_in_any_letter_case() -> None:
    bench = CallBench(codecs=("PCMU", "telephone-event"))
    object.__setattr__(bench.setup.caller, "codecs", ("pcmu", "PCMA", "TELEPHONE-EVENT"))
    assert bench.b2bua._ctx.codecs == ("PCMU", "telephone-event")


def test_the_wall_clock_follows_the_monotonic_one() -> None:
    ctx = CallBench().b2bua._ctx
    ctx.now += 1.5
    assert ctx.at == BEGAN + timedelta(seconds=1.5)


def test_a_request_gets_one_final_response() -> None:
    bench = CallBench()
    ctx = bench.b2bua._ctx
    for status in (180, 487, 500, 180):
        ctx.respond(ctx.caller, (bench.invite_key, bench.invite), status)
    assert [order.response.status for order in every(ctx.take_commands(), Respond)] == [180, 487]


def test_a_timer_is_disarmed_when_it_is_armed() -> None:
    ctx = CallBench().b2bua._ctx
    ctx.clear_timer(TimerName.RING)
    assert ctx.take_commands() == []
    ctx.set_timer(TimerName.RING, 5)
    ctx.take_commands()
    ctx.clear_timer(TimerName.RING)
    assert ctx.take_commands() == [ClearTimer(TimerName.RING)]


def test_commands_are_handed_out_once() -> None:
    ctx = CallBench().start().b2bua._ctx
    assert ctx.take_commands() == []


def test_a_leg_without_a_dialog_sends_nothing() -> None:
    ctx = CallBench().b2bua._ctx
    with pytest.raises(StateError):
        ctx.create_request(ctx.leg(Side.B), "BYE")
