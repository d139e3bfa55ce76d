import re

from sidestream.call.routing import CALLED_MAX, Route, first_route


def test_a_called_text_that_is_no_number_fits_no_pattern_and_costs_no_time() -> None:
    patterned, open_route = Route("a", "b", re.compile("^[0-9]+$")), Route("a", "c")
    routes = (patterned, open_route)
    assert first_route(routes, "a", "1" * CALLED_MAX) is patterned
    assert first_route(routes, "a", "1" * (CALLED_MAX + 1)) is open_route
    assert first_route(routes[:1], "a", "1" * 100_000) is None
