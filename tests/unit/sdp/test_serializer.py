from sidestream.sdp.model import Line, MediaDescription, SessionDescription
from sidestream.sdp.parser import parse
from sidestream.sdp.serializer import serialize


def test_lines_end_with_crlf_in_their_order() -> None:
    description = SessionDescription(
        (Line("v", "0"), Line("o", "- 1 1 IN IP4 h")),
        (MediaDescription((Line("m", "audio 0 RTP/AVP 0"), Line("a", "sendrecv"))),),
    )
    assert serialize(description) == b"v=0\r\no=- 1 1 IN IP4 h\r\nm=audio 0 RTP/AVP 0\r\na=sendrecv\r\n"


def test_text_in_another_character_set_survives() -> None:
    data = b"v=0\r\no=- 1 1 IN IP4 h\r\ns=Gr\xfc\xdfe\r\ni=\xe2\x98\x8e\r\n"
    assert serialize(parse(data)) == data
