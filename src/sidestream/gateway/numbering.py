"""The rules of numbers, from the configuration to what a call works with."""

from __future__ import annotations

from sidestream.call.numbers import E164, NumberRules, Rewrite
from sidestream.config.model import Trunk
from sidestream.config.numbering import Numbers


def rules_of(numbers: Numbers | None) -> NumberRules:
    """The rules of one place; none where nothing is written."""
    if numbers is None:
        return NumberRules()
    plan = numbers.e164
    return NumberRules(
        None if plan is None else E164(plan.country, plan.national_prefix, plan.international_prefix),
        tuple(Rewrite(each.match, each.replace) for each in numbers.called),
        tuple(Rewrite(each.match, each.replace) for each in numbers.calling),
    )


def inbound_of(trunk: Trunk | None) -> NumberRules:
    """The rules for calls that come from a trunk."""
    return rules_of(trunk.numbers.inbound if trunk else None)


def outbound_of(trunk: Trunk | None) -> NumberRules:
    """The rules for calls that go to a trunk."""
    return rules_of(trunk.numbers.outbound if trunk else None)
