"""Metadata to XML and back; what comes from the network is read strictly and safely."""

import pytest

from sidestream.siprec.errors import MetadataError
from sidestream.siprec.metadata import (
    NAMESPACE,
    DataMode,
    Extension,
    Group,
    LangText,
    NameId,
    Param,
    Participant,
    ParticipantSession,
    ParticipantStream,
    Reason,
    Recording,
    Session,
    SessionRecording,
    SnapshotRequest,
    Stream,
    make_id,
)
from sidestream.siprec.xml import MAX_BYTES, parse, serialize
from siprec_script import BEGIN, at

G, S, P, X = (make_id(bytes([number]) * 16) for number in range(4))
MINE = Extension(
    "{urn:example:mine}data",
    (("key", "v & w"), ("{urn:example:other}k", "2")),
    "before ",
    (Extension("{urn:example:mine}inner", text="<é>", tail=" after"),),
)
FULL = Recording(
    DataMode.COMPLETE,
    (Group(G, BEGIN, at(9), (MINE,)),),
    (Session(S, ("ab30;remote=4775",), (Reason(486, "Busy", "Q.850"),), G, BEGIN, at(9.25), (MINE,)),),
    (Participant(P, (NameId("sip:a@b", LangText("Bob & Co", "it")), NameId("tel:+1")), (MINE,)),),
    (Stream(X, S, "1", (MINE,)), Stream(G)),
    (SessionRecording(S, BEGIN, None, (MINE,)),),
    (ParticipantSession(P, S, BEGIN, at(1), (Param("isfocus", "true"),), (MINE,)),),
    (ParticipantStream(P, (X,), (X,), BEGIN, at(2), (MINE,)),),
    (MINE,),
)


def text_of(inner: str) -> bytes:
    return f'<recording xmlns="{NAMESPACE}">{inner}</recording>'.encode()


@pytest.mark.parametrize(
    "document",
    [FULL, Recording(), SnapshotRequest(LangText("SRS internal error", "it"), (MINE,)), SnapshotRequest()],
)
def test_what_is_written_is_read_back(document: Recording | SnapshotRequest) -> None:
    assert parse(serialize(document)) == document


def test_elements_stand_in_the_order_of_the_schema() -> None:
    text = serialize(FULL).decode()
    names = [
        "datamode", "group ", "session ", "participant ", "stream ", "sessionrecordingassoc",
        "participantsessionassoc", "participantstreamassoc",
    ]  # fmt: skip
    places = [text.index(f"<{name}") for name in names]
    assert places == sorted(places)


def test_characters_that_xml_cannot_hold_are_replaced() -> None:
    name = NameId("sip:a@b", LangText("A\x00B\x0b\ud800C"))
    document = parse(serialize(Recording(participants=(Participant(P, (name,)),))))
    assert isinstance(document, Recording)
    assert document.participants[0].names[0].name == LangText("A\ufffdB\ufffd\ufffdC")


@pytest.mark.parametrize(
    "document",
    [
        Recording(extensions=(Extension(f"{{{NAMESPACE}}}data"),)),
        Recording(extensions=(Extension("data"),)),
        Recording(participants=(Participant(P, ()),)),
        Recording(streams=(Stream("inbound"),)),  # type: ignore[arg-type]
    ],
)
def test_a_document_of_ours_that_the_rfc_forbids_is_not_written(document: Recording) -> None:
    with pytest.raises(ValueError, match=r"namespace|address|no id"):
        serialize(document)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not well-formed"),
        (b"v=0\r\n", "not well-formed"),
        (b"<recording", "not well-formed"),
        (b"\xff\xfe<\x00", "UTF-8"),
        (b"<recording/>", "root is recording"),
        (f'<other xmlns="{NAMESPACE}"/>'.encode(), "root is other"),
        (b'<!DOCTYPE r [<!ENTITY a "b">]><r>&a;</r>', "document type"),
        (text_of("&undefined;"), "not well-formed"),
        (text_of("<dataMode>complete</dataMode>"), "may not stand there"),
        (text_of("<datamode>whole</datamode>"), "neither complete nor partial"),
        (text_of("words"), "text between"),
        (text_of('<group group_id="inbound"/>'), "16 octets"),
        (
            text_of(
                f'<group group_id="{G}"><associate-time>2024-01-21T16:24:58+0000</associate-time></group>'
            ),
            "zone",
        ),
        (
            text_of(f'<group group_id="{G}"><associate-time>2024-01-21T16:24:58</associate-time></group>'),
            "zone",
        ),
        (text_of(f'<stream stream_id="{X}"/><group group_id="{G}"/>'), "may not stand there"),
        (text_of(f'<participant participant_id="{P}"/>'), "no nameID"),
        (text_of(f'<session session_id="{S}"><reason>x</reason></session>'), "lacks its cause"),
        (text_of(f'<session session_id="{S}"><reason cause="x"/></session>'), "cause is no"),
        (
            text_of(
                f'<participantstreamassoc participant_id="{P}">'
                "<associate-time>2026-03-03T09:15:00Z</associate-time>"
                f"<send>{X}</send></participantstreamassoc>"
            ),
            "may not stand there",
        ),
        (text_of(f'<stream stream_id="{X}" id="1"/>'), "no attribute"),
        (text_of("<stream/>"), "lacks its stream_id"),
        (text_of(f'<stream stream_id="{X}"><label><b/></label></stream>'), "elements where text"),
        (text_of("<x xmlns=''/>"), "may not stand there"),
    ],
)
def test_what_is_no_metadata_is_refused_with_the_reason(data: bytes, says: str) -> None:
    with pytest.raises(MetadataError, match=says) as caught:
        parse(data)
    assert caught.value.sip_status == 400


@pytest.mark.parametrize(
    "data",
    [
        b" " * (MAX_BYTES + 1),
        text_of('<a xmlns="urn:x">' * 40 + "</a>" * 40),
        text_of('<a xmlns="urn:x"/>' * 3_000 * 2)[: MAX_BYTES + 9],
        text_of("<x:a xmlns:x='u'>" + "<x:a/>" * 4_100 + "</x:a>"),
    ],
)
def test_every_bound_is_held(data: bytes) -> None:
    with pytest.raises(MetadataError) as caught:
        parse(data)
    assert caught.value.sip_status == 413


def test_no_file_and_no_network_is_ever_read(tmp_path: object) -> None:
    evil = (
        f'<?xml version="1.0"?><!DOCTYPE r SYSTEM "file://{tmp_path}/x.dtd"><recording xmlns="{NAMESPACE}"/>'
    )
    with pytest.raises(MetadataError, match="document type"):
        parse(evil.encode())
    included = text_of('<i:include xmlns:i="http://www.w3.org/2001/XInclude" href="file:///etc/hostname"/>')
    document = parse(included)
    assert isinstance(document, Recording)
    assert document.extensions[0].text == ""


def test_comments_and_white_space_are_skipped() -> None:
    data = b"\xef\xbb\xbf" + text_of("\n <!-- who --> <datamode>\n partial </datamode><?pi?>")
    assert parse(data) == Recording(DataMode.PARTIAL)
