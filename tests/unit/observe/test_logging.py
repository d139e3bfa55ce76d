import io
import json
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
import structlog

from sidestream.observe.logging import configure, logger


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def lines(environment: dict[str, str]) -> io.StringIO:
    output = io.StringIO()
    configure(environment, output)
    return output


def test_json_is_one_line_for_each_event_with_what_is_bound() -> None:
    output = lines({"SIDESTREAM_LOG": "json"})
    log = logger(node="gw-1").bind(call_id="c1")
    log.info("call started", callee="+1")
    log.warning("peer given up", status=503)
    first, second = (json.loads(line) for line in output.getvalue().splitlines())
    assert (first["event"], first["call_id"], first["node"], first["level"]) == (
        "call started",
        "c1",
        "gw-1",
        "info",
    )
    assert (second["level"], second["status"]) == ("warning", 503)


def test_values_that_json_cannot_say_are_written_as_text() -> None:
    output = lines({"SIDESTREAM_LOG": "json"})
    logger().info("odd", name="caf\udce9", host=IPv4Address("192.0.2.1"), error=ValueError("no"))
    logger().info("odd", host=IPv4Address("192.0.2.1"), ratio=float("inf"))
    first, second = (json.loads(line) for line in output.getvalue().splitlines())
    assert (first["name"], first["host"], first["error"]) == ("caf\udce9", "192.0.2.1", "no")
    assert second["host"] == "192.0.2.1"


def test_exceptions_stay_within_their_line() -> None:
    output = lines({"SIDESTREAM_LOG": "json"})
    try:
        int("broken")
    except ValueError:
        logger().exception("an error")
    (line,) = output.getvalue().splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["exception"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_values_of_keys_that_name_secrets_are_masked(form: str) -> None:
    output = lines({"SIDESTREAM_LOG": form})
    logger().info("connecting", Authorization="Bearer abc", bearer="abc", client_secret="abc", host="h")
    assert "abc" not in output.getvalue()
    assert "***" in output.getvalue()


def test_the_level_can_be_set_and_a_wrong_one_means_info() -> None:
    output = lines({"SIDESTREAM_LOG": "text", "SIDESTREAM_LOG_LEVEL": "warning"})
    logger().info("hidden")
    logger().error("shown")
    assert "hidden" not in output.getvalue()
    assert "shown" in output.getvalue()
    output = lines({"SIDESTREAM_LOG_LEVEL": "loud"})
    logger().debug("hidden")
    logger().info("shown")
    assert "hidden" not in output.getvalue()
    assert json.loads(output.getvalue())["event"] == "shown"
