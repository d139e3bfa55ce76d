import json

import msgspec
import pytest

from sidestream.observe.call_trace import from_document, instant, pack, to_document, unpack
from trace_script import a_call, message, sip


def test_a_trace_survives_the_store_and_the_api() -> None:
    call = a_call()
    assert unpack(pack(call)) == call
    assert from_document(json.loads(json.dumps(to_document(call)))) == call


def test_bytes_that_are_no_text_survive_too() -> None:
    call = msgspec.structs.replace(
        a_call(), messages=[message(sip("INVITE x SIP/2.0") + b"\xff\x00")], omitted=3
    )
    assert from_document(json.loads(json.dumps(to_document(call)))) == call


def test_instants_have_microseconds() -> None:
    assert instant(1_764_000_000_000_001) == "2025-11-24T16:00:00.000001Z"


def test_another_shape_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        from_document({"call_id": "x"})
