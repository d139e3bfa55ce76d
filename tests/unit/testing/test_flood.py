"""What a flood is made of."""

import pytest

from sidestream.sip.errors import ParseError
from sidestream.sip.message import Request
from sidestream.sip.parser import parse_message, validate_request
from sidestream.testing.flood import KINDS, datagrams, main


def test_every_kind_is_in_it_and_well_formed_ones_differ() -> None:
    made = list(datagrams(4 * KINDS))
    requests = []
    for data in made:
        try:
            message = parse_message(data)
        except ParseError:
            continue
        assert isinstance(message, Request)
        validate_request(message)
        requests.append(message)
    assert {request.method for request in requests} == {"INVITE", "OPTIONS", "REGISTER"}
    assert len({request.call_id for request in requests}) == len(requests)
    assert len(requests) < len(made)


def test_it_stays_on_loopback() -> None:
    with pytest.raises(ValueError, match="loopback"):
        next(datagrams(1, ["192.0.2.1"]))
    with pytest.raises(SystemExit):
        main(["192.0.2.1:5060"])
