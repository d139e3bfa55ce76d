from sidestream.gateway.traced_log import VALUE_MAX, TracedLog
from sidestream.observe.logging import logger

Notes = list[tuple[str, str, dict[str, str]]]


def test_each_line_is_noted_with_what_is_bound_and_without_secrets() -> None:
    notes: Notes = []
    log = TracedLog.of(logger(call_id="x"), lambda *note: notes.append(note))
    stream = log.bind(integration="live", account="acme")
    log.debug("call rings", status=180)
    stream.info("endpoint connected", tls=None, connect_ms=7)
    stream.warning("endpoint lost", password="hunter2")
    stream.error("x" * 10, detail="y" * 1000)
    stream.exception("an error")
    assert [(level, event) for level, event, _ in notes[:3]] == [
        ("debug", "call rings"),
        ("info", "endpoint connected"),
        ("warning", "endpoint lost"),
    ]
    assert notes[0][2] == {"status": "180"}
    assert notes[1][2] == {"integration": "live", "connect_ms": "7"}
    assert notes[2][2] == {"integration": "live", "password": "***"}
    assert len(notes[3][2]["detail"]) == VALUE_MAX
    assert notes[4][:2] == ("error", "an error")
