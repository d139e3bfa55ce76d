"""Session timers of recording sessions (RFC 4028)."""

import pytest

from sidestream.sip.message import Headers, Request, Response
from sidestream.sip.session_timer import (
    MAX_SE_S,
    SessionTimer,
    asked_by,
    least_of,
    of_request,
    of_response,
    too_small,
)


def request(value: str | None) -> Request:
    return Request("UPDATE", "sip:a@b", Headers([("Session-Expires", value)] if value is not None else []))


def response(value: str | None) -> Response:
    return Response(200, "OK", Headers([("Session-Expires", value)] if value is not None else []))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1800;refresher=uac", (1800, "uac")),
        (" 90 ; refresher=UAS", (90, "uas")),
        ("600", (600, None)),
        ("600;refresher=both", (600, None)),
        ('600;x="', (600, None)),
        ("99999999", (MAX_SE_S, None)),
        ("soon", None),
        ("-1", None),
        (None, None),
    ],
)
def test_session_expires_is_read_or_left_aside(
    value: str | None, expected: tuple[int, str | None] | None
) -> None:
    assert asked_by(request(value)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1800;refresher=uac", SessionTimer(1800, True)),
        ("1800;refresher=uas", SessionTimer(1800, False)),
        ("1800", SessionTimer(1800, True)),
        ("10;refresher=uas", SessionTimer(90, False)),
        (None, None),
    ],
)
def test_a_2xx_to_our_request_says_who_refreshes(value: str | None, expected: SessionTimer | None) -> None:
    assert of_response(response(value)) == expected


def test_a_request_of_the_recorder_sets_the_timer_from_its_side() -> None:
    assert of_request(request("600;refresher=uac"), None) == SessionTimer(600, False)
    assert of_request(request("600;refresher=uas"), None) == SessionTimer(600, True)
    assert of_request(request("600"), None) == SessionTimer(600, False)


def test_a_recorder_that_is_silent_about_timers_is_not_waited_for() -> None:
    ours, theirs = SessionTimer(600, True), SessionTimer(600, False)
    assert of_request(request(None), ours) == ours
    assert of_request(request(None), theirs) is None
    assert of_request(request(None), None) is None


def test_the_value_names_the_refresher_from_the_side_of_the_requests_sender() -> None:
    assert SessionTimer(600, True).value(as_server=False) == "600;refresher=uac"
    assert SessionTimer(600, False).value(as_server=False) == "600;refresher=uas"
    assert SessionTimer(600, True).value(as_server=True) == "600;refresher=uas"
    assert SessionTimer(600, False).value(as_server=True) == "600;refresher=uac"


def test_refreshing_at_half_time_and_giving_up_shortly_before_the_end() -> None:
    assert SessionTimer(1800, True).due_in_s == 900
    assert SessionTimer(1800, False).due_in_s == 1768
    assert SessionTimer(90, False).due_in_s == 60


def test_intervals_under_the_least_are_refused() -> None:
    assert too_small(request("60"))
    assert not too_small(request("90"))
    assert not too_small(request(None))


@pytest.mark.parametrize(("value", "least"), [("3600", 3600), ("x", None), ("999999999", None), (None, None)])
def test_a_422_names_the_least_interval(value: str | None, least: int | None) -> None:
    refusal = Response(422, "", Headers([("Min-SE", value)] if value else []))
    assert least_of(refusal) == least
