"""Whatever is said on either side, no identity that needs trust crosses where one side is not trusted."""

from hypothesis import given, settings
from hypothesis import strategies as st

from call_script import CallBench, every
from sidestream.call.border import VOUCHED, Border
from sidestream.call.commands import Respond, SendAck, SendRequest
from sidestream.call.headers_policy import HeaderPolicy
from sidestream.call.side import Side
from sidestream.sip.message import Headers, Message

NAMES = (
    "P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID", "Privacy", "History-Info", "Identity",
    "Diversion", "X-Other", "Subject",
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(
        [
            "none",
            "id",
            "user;id",
            "critical",
            "none;critical",
            "<sip:a@b>",
            "<sip:a@b?Privacy=history>;index=1",
        ]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=40),
)
CASES = st.sampled_from([str, str.lower, str.upper, str.swapcase])
LINES = st.lists(
    st.builds(lambda name, case, value: (case(name), value), st.sampled_from(NAMES), CASES, VALUES),
    max_size=6,
)
TRUSTS = st.sampled_from([(True, False), (False, True), (False, False)])


@given(LINES, TRUSTS)
def test_no_vouched_header_crosses_a_border_of_trust(
    lines: list[tuple[str, str]], trusted: tuple[bool, bool]
) -> None:
    target = Headers()
    Border(HeaderPolicy(), *trusted).copy(Headers(lines), target)
    assert VOUCHED.isdisjoint(name.lower() for name, _ in target)


@settings(max_examples=60)
@given(LINES, LINES, st.lists(st.sampled_from(["INVITE", "UPDATE", "INFO", "MESSAGE"]), max_size=3), TRUSTS)
def test_no_vouched_header_leaves_a_call_towards_an_untrusted_trunk(
    of_caller: list[tuple[str, str]],
    of_callee: list[tuple[str, str]],
    methods: list[str],
    trusted: tuple[bool, bool],
) -> None:
    bench = CallBench(headers=of_caller, trusted=trusted).start()
    if not bench.b2bua.ended:
        bench.reply(bench.invited, 183, headers=of_callee)
        bench.answer(headers=of_callee)
        bench.ack()
        for method in methods:
            for side, lines in ((Side.A, of_caller), (Side.B, of_callee)):
                before = len(bench.requests())
                bench.request(side, method, headers=lines)
                for sent in bench.requests()[before:]:
                    bench.reply(sent, 488, headers=lines)
        bench.request(Side.A, "BYE", headers=of_caller)
    for message in _told(bench):
        assert VOUCHED.isdisjoint(name.lower() for name, _ in message.headers)


def _told(bench: CallBench) -> list[Message]:
    requests = [sent.request for sent in every(bench.log, SendRequest)]
    acks = [sent.request for sent in every(bench.log, SendAck)]
    return [*requests, *acks, *(each.response for each in every(bench.log, Respond))]
