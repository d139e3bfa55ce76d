"""Session timers as the recorder agrees on them (RFC 4028 section 9)."""

import pytest

from sidestream.sip.message import Headers, Request, Response
from sidestream.tools.recorder_timer import agree


def agreed(asked: str | None, supported: str, wanted: int | None) -> tuple[str | None, str | None]:
    request = Request("INVITE", "sip:a@b", Headers([("Supported", supported)]))
    if asked is not None:
        request.headers.add("Session-Expires", asked)
    response = Response(200, "OK")
    timer = agree(request, response, wanted)
    assert (timer is None) == ("Session-Expires" not in response.headers)
    if timer is not None:
        assert timer.we_refresh == ("uas" in (response.headers.get("Session-Expires") or ""))
    return response.headers.get("Session-Expires"), response.headers.get("Require")


@pytest.mark.parametrize(
    ("asked", "supported", "wanted", "answer", "required"),
    [
        (None, "timer", None, None, None),
        (None, "path", 120, None, None),
        (None, "timer", 120, "120;refresher=uas", None),
        ("1800", "timer", None, "1800;refresher=uac", "timer"),
        ("1800;refresher=uas", "timer", None, "1800;refresher=uas", None),
        ("1800;x=y;refresher=UAC", "timer", 300, "300;refresher=uac", "timer"),
        ("1800", "timer", 300, "300;refresher=uas", None),
        ("30", "timer", None, "30;refresher=uac", "timer"),
    ],
)
def test_the_interval_and_its_refresher(
    asked: str | None, supported: str, wanted: int | None, answer: str | None, required: str | None
) -> None:
    assert agreed(asked, supported, wanted) == (answer, required)
