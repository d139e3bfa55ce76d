"""The model is what documents and readers are made from, so each of its keys has a kind."""

from sidestream.config import model
from sidestream.config.shapes import ListOf, shapes_of
from sidestream.config.summary import summarize, summary_lines
from unit.config.example import TEXT, changed, parse_text


def sections(root: type = model.Configuration) -> list[type]:
    found = [root]
    for shape in shapes_of(root):
        for section in shape.sections:
            found += sections(section)
    return found


def test_every_section_is_reached() -> None:
    assert {section.__name__ for section in sections()} == {
        *("Configuration", "Node", "Media", "Limits", "Tls", "Account", "VoiceService", "Trunk", "TrunkAuth"),
        *("Peer", "MediaStreamIntegration", "EndpointAuth", "Basic", "SiprecIntegration", "Route"),
        *("RecordingServer", "RecorderAuth", "Registration", "Dns", "Protection", "Trace", "PeerTls"),
        "Hep",
        *("TrunkNumbers", "Numbers", "E164", "Rewrite"),
    }


def test_every_key_has_a_kind_or_is_a_section() -> None:
    for section in sections():
        for shape in shapes_of(section):
            lone_list = isinstance(shape.kind, ListOf) and shape.kind.item is None
            assert bool(shape.sections) is (shape.kind is None or lone_list), (section, shape.name)


def test_names_in_the_file_are_those_of_the_contract() -> None:
    names = {section.__name__: {shape.name for shape in shapes_of(section)} for section in sections()}
    assert names["Route"] == {"from", "to", "match", "numbers"}
    assert "url" in names["MediaStreamIntegration"]
    trunk = {"peers", "match", "auth", "codecs", "srtp", "options_ping", "max_calls", "message_rate"}
    assert trunk <= names["Trunk"]


def test_the_summary_tells_all_and_no_secret() -> None:
    text = changed(("  limits:", "  api: http://127.0.0.1:8080\n  limits:"), ("{env: TOKEN}", "s3cret"))
    configuration = parse_text(text)
    lines = "\n".join(summary_lines(configuration))
    for fact in (
        *("node gw-1", "udp://127.0.0.1:5060", "20000-20999", "http://127.0.0.1:8080", "/etc/sidestream"),
        *("carrier carrier: sip:192.0.2.1, sip:192.0.2.2;transport=tcp; calls from 192.0.2.0/24", "live"),
        *("wss://127.0.0.1:8443/calls", "from desk to carrier for numbers that match ^[0-9]+$"),
    ):
        assert fact in lines
    assert "s3cret" not in lines + str(summarize(configuration))


def test_the_summary_says_when_nothing_serves_health() -> None:
    assert "not served" in "\n".join(summary_lines(parse_text(TEXT)))
