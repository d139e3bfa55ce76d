"""Recording metadata to XML and back (RFC 7865 section 9), strictly and safely.

What is read comes from the network: no document type, no entities, nothing fetched, and bounds on size, depth
and number of elements. Elements must stand in the order of the schema; comments and processing instructions
are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Final, TypeVar, cast

from lxml import etree

from sidestream.siprec.errors import MetadataError
from sidestream.siprec.metadata import (
    NAMESPACE,
    DataMode,
    Document,
    Extension,
    Extensions,
    Group,
    Id,
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
    format_time,
    is_id,
    parse_time,
)

MAX_BYTES: Final = 65_536
"""A document travels in a SIP message, which ends at 64 KiB."""
MAX_DEPTH: Final = 32
MAX_ELEMENTS: Final = 4_096

_NS: Final = f"{{{NAMESPACE}}}"
_LANG: Final = "{http://www.w3.org/XML/1998/namespace}lang"
_ILLEGAL: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPACE: Final = re.compile(r"[ \t\r\n]+")
_T = TypeVar("_T")
_Element = etree._Element  # noqa: SLF001 - the name that lxml gives the type of its elements


# --- writing ---------------------------------------------------------------------------------------------


def serialize(document: Document) -> bytes:
    """Write a document in the order of the schema.

    Characters that XML cannot hold are replaced. `parse` gives the same document back.

    Raises:
        ValueError: an id, a time or an extension's namespace is not what RFC 7865 wants: a bug of ours.
    """
    if isinstance(document, SnapshotRequest):
        root = _root("requestsnapshot")
        if document.reason is not None:
            _lang_text(root, "requestreason", document.reason)
    else:
        root = _root("recording")
        if document.mode is not None:
            _text(root, "datamode", document.mode.value)
        for field in fields(Recording)[1:-1]:
            for item in getattr(document, field.name):
                _WRITERS[type(item)](root, item)
    _extend(root, document.extensions)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + etree.tostring(root, encoding="utf-8") + b"\n"


def _root(name: str) -> _Element:
    return etree.Element(_NS + name, nsmap=_default(NAMESPACE))


def _default(namespace: str) -> dict[str, str]:
    """The map that makes a namespace the default one; the stubs of lxml do not know of its key None."""
    return cast("dict[str, str]", {None: namespace})


def _clean(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", text)


def _child(parent: _Element, name: str, **attributes: str | None) -> _Element:
    child = etree.SubElement(parent, _NS + name)
    for key, value in attributes.items():
        if value is not None:
            child.set(key, _clean(value))
    return child


def _text(parent: _Element, name: str, text: str) -> _Element:
    child = _child(parent, name)
    child.text = _clean(text)
    return child


def _lang_text(parent: _Element, name: str, value: LangText) -> None:
    child = _text(parent, name, value.text)
    if value.lang is not None:
        child.set(_LANG, value.lang)


def _id(text: str | None) -> str | None:
    if text is not None and not is_id(text):
        raise ValueError(f"no id: {text!r}")
    return text


def _times(parent: _Element, *named: tuple[str, datetime | None]) -> None:
    for name, instant in named:
        if instant is not None:
            _text(parent, name, format_time(instant))


def _association(
    parent: _Element, item: Group | SessionRecording | ParticipantSession | ParticipantStream
) -> None:
    _times(parent, ("associate-time", item.associate_time), ("disassociate-time", item.disassociate_time))


def _extend(parent: _Element, extensions: Iterable[Extension]) -> None:
    for extension in extensions:
        namespace = etree.QName(extension.name).namespace
        if not namespace or namespace == NAMESPACE:
            raise ValueError(f"an extension needs a namespace of its own: {extension.name!r}")
        _foreign(parent, extension)


def _foreign(parent: _Element, extension: Extension) -> None:
    namespace = etree.QName(extension.name).namespace
    child = etree.SubElement(parent, extension.name, nsmap=_default(namespace) if namespace else None)
    for name, value in extension.attributes:
        child.set(name, _clean(value))
    child.text = _clean(extension.text) or None
    for inner in extension.children:
        _foreign(child, inner)
    child.tail = _clean(extension.tail) or None


def _write_group(root: _Element, item: Group) -> None:
    element = _child(root, "group", group_id=_id(item.group_id))
    _association(element, item)
    _extend(element, item.extensions)


def _write_session(root: _Element, item: Session) -> None:
    element = _child(root, "session", session_id=_id(item.session_id))
    for value in item.sip_session_ids:
        _text(element, "sipSessionID", value)
    for reason in item.reasons:
        text = _text(element, "reason", reason.text)
        text.set("cause", str(reason.cause))
        text.set("protocol", _clean(reason.protocol))
    if item.group_ref is not None:
        _text(element, "group-ref", _id(item.group_ref) or "")
    _times(element, ("start-time", item.start_time), ("stop-time", item.stop_time))
    _extend(element, item.extensions)


def _write_participant(root: _Element, item: Participant) -> None:
    if not item.names:
        raise ValueError("a participant has an address")
    element = _child(root, "participant", participant_id=_id(item.participant_id))
    for name in item.names:
        named = _child(element, "nameID", aor=name.aor)
        if name.name is not None:
            _lang_text(named, "name", name.name)
    _extend(element, item.extensions)


def _write_stream(root: _Element, item: Stream) -> None:
    element = _child(root, "stream", stream_id=_id(item.stream_id), session_id=_id(item.session_id))
    if item.label is not None:
        _text(element, "label", item.label)
    _extend(element, item.extensions)


def _write_session_recording(root: _Element, item: SessionRecording) -> None:
    element = _child(root, "sessionrecordingassoc", session_id=_id(item.session_id))
    _association(element, item)
    _extend(element, item.extensions)


def _write_participant_session(root: _Element, item: ParticipantSession) -> None:
    element = _child(
        root,
        "participantsessionassoc",
        participant_id=_id(item.participant_id),
        session_id=_id(item.session_id),
    )
    _association(element, item)
    for param in item.params:
        _child(element, "param", pname=param.name, pval=param.value)
    _extend(element, item.extensions)


def _write_participant_stream(root: _Element, item: ParticipantStream) -> None:
    element = _child(root, "participantstreamassoc", participant_id=_id(item.participant_id))
    for name, ids in (("send", item.send), ("recv", item.recv)):
        for stream in ids:
            _text(element, name, _id(stream) or "")
    _association(element, item)
    _extend(element, item.extensions)


_WRITERS: Final[dict[type, Callable[..., None]]] = {
    Group: _write_group,
    Session: _write_session,
    Participant: _write_participant,
    Stream: _write_stream,
    SessionRecording: _write_session_recording,
    ParticipantSession: _write_participant_session,
    ParticipantStream: _write_participant_stream,
}


# --- reading ---------------------------------------------------------------------------------------------


def parse(data: bytes) -> Document:
    """Read a metadata document or a snapshot request.

    Raises:
        MetadataError: 400 when it is neither, with what is wrong and where; 413 when it passes a bound.
    """
    root = parse_tree(data)
    if root.tag == _NS + "recording":
        return _read_recording(root)
    if root.tag == _NS + "requestsnapshot":
        return _read_request(root)
    raise MetadataError(f"the root is {_shown(root.tag)}, not recording or requestsnapshot of {NAMESPACE}")


def parse_tree(data: bytes) -> _Element:
    """Read bytes as XML, within the bounds and without a document type.

    Raises:
        MetadataError: 400 or 413.
    """
    if len(data) > MAX_BYTES:
        raise MetadataError(f"the document has more than {MAX_BYTES} bytes", sip_status=413)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MetadataError("the document is not in UTF-8") from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise MetadataError("the document declares a document type, which is never read")
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(text.strip().encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise MetadataError(f"not well-formed XML: {error}") from None
    if root is None:  # an input without an element
        raise MetadataError("the document has no element")
    _check_bounds(root)
    return root


def _check_bounds(root: _Element) -> None:
    level, count = [root], 0
    for depth in range(MAX_DEPTH + 1):
        count += len(level)
        if count > MAX_ELEMENTS:
            raise MetadataError(f"more than {MAX_ELEMENTS} elements", sip_status=413)
        level = [child for element in level for child in element]
        if not level:
            return
        if depth == MAX_DEPTH:
            raise MetadataError(f"elements more than {MAX_DEPTH} deep", sip_status=413)


class _Reader:
    """The children of one element, taken in the order of the schema."""

    def __init__(self, element: _Element, attributes: Sequence[str] = ()) -> None:
        self.name = _shown(element.tag)
        self._element = element
        self._children = list(element)
        self._next = 0
        texts = [element.text, *(child.tail for child in self._children)]
        if any(text and text.strip() for text in texts):
            raise MetadataError(f"{self.name} holds text between its elements")
        for attribute in element.attrib:
            # Attributes of the XML and XSI namespaces may stand anywhere.
            if str(attribute) not in attributes and not str(attribute).startswith("{http://www.w3.org/"):
                raise MetadataError(f"{self.name} has no attribute {str(attribute)!r}")

    def id(self, attribute: str) -> Id:
        """A mandatory id."""
        return _read_id(_attribute(self._element, attribute), f"{attribute} of {self.name}")

    def optional_id(self, attribute: str) -> Id | None:
        """An id that may be absent."""
        return self.id(attribute) if attribute in self._element.attrib else None

    def many(self, name: str) -> Iterator[_Element]:
        """The next children of this name."""
        while self._next < len(self._children) and self._children[self._next].tag == _NS + name:
            self._next += 1
            yield self._children[self._next - 1]

    def one(self, name: str) -> _Element | None:
        """The next child, when it has this name."""
        if self._next < len(self._children) and self._children[self._next].tag == _NS + name:
            self._next += 1
            return self._children[self._next - 1]
        return None

    def text(self, name: str) -> str | None:
        """The text of the next child, when it has this name; white space around it is dropped."""
        child = self.one(name)
        return None if child is None else _plain(child).strip()

    def time(self, name: str) -> datetime | None:
        """The instant that the next child tells, when it has this name."""
        text = self.text(name)
        if text is None:
            return None
        instant = parse_time(text)
        if instant is None:
            raise MetadataError(f"{name} of {self.name} is no time with a zone: {text[:40]!r}")
        return instant

    def times(self) -> tuple[datetime | None, datetime | None]:
        """The two times of an association."""
        return self.time("associate-time"), self.time("disassociate-time")

    def rest(self) -> Extensions:
        """What remains: elements of other namespaces, and nothing else."""
        rest = self._children[self._next :]
        for child in rest:
            namespace = etree.QName(child).namespace
            if not namespace or namespace == NAMESPACE:
                raise MetadataError(f"{_shown(child.tag)} may not stand there in {self.name}")
        return tuple(_read_foreign(child, outermost=True) for child in rest)


def _read_recording(root: _Element) -> Recording:
    reader = _Reader(root)
    mode = reader.text("datamode")
    if mode is not None and mode not in {"complete", "partial"}:
        raise MetadataError(f"datamode is neither complete nor partial: {mode[:40]!r}")
    return Recording(
        DataMode(mode) if mode is not None else None,
        _each(reader, "group", _read_group),
        _each(reader, "session", _read_session),
        _each(reader, "participant", _read_participant),
        _each(reader, "stream", _read_stream),
        _each(reader, "sessionrecordingassoc", _read_session_recording),
        _each(reader, "participantsessionassoc", _read_participant_session),
        _each(reader, "participantstreamassoc", _read_participant_stream),
        reader.rest(),
    )


def _each(reader: _Reader, name: str, read: Callable[[_Element], _T]) -> tuple[_T, ...]:
    return tuple(read(element) for element in reader.many(name))


def _read_request(root: _Element) -> SnapshotRequest:
    reader = _Reader(root)
    reason = reader.one("requestreason")
    return SnapshotRequest(None if reason is None else _read_lang_text(reason), reader.rest())


def _read_group(element: _Element) -> Group:
    reader = _Reader(element, ("group_id",))
    return Group(reader.id("group_id"), *reader.times(), reader.rest())


def _read_session(element: _Element) -> Session:
    reader = _Reader(element, ("session_id",))
    session_id = reader.id("session_id")
    sip_ids = tuple(_SPACE.sub("", _plain(each)) for each in reader.many("sipSessionID"))
    reasons = tuple(_read_reason(each) for each in reader.many("reason"))
    ref = reader.text("group-ref")
    group = None if ref is None else _read_id(ref, "group-ref")
    start, stop = reader.time("start-time"), reader.time("stop-time")
    return Session(session_id, sip_ids, reasons, group, start, stop, reader.rest())


def _read_reason(element: _Element) -> Reason:
    cause = _attribute(element, "cause").strip()
    if not re.fullmatch(r"[+-]?\d{1,5}", cause, re.ASCII) or not -32768 <= int(cause) <= 32767:
        raise MetadataError(f"cause is no short number: {cause[:40]!r}")
    return Reason(int(cause), _plain(element), element.get("protocol", "SIP"))


def _read_participant(element: _Element) -> Participant:
    reader = _Reader(element, ("participant_id",))
    participant_id = reader.id("participant_id")
    names = tuple(_read_name(each) for each in reader.many("nameID"))
    if not names:
        raise MetadataError("a participant has no nameID")
    return Participant(participant_id, names, reader.rest())


def _read_name(element: _Element) -> NameId:
    reader = _Reader(element, ("aor",))
    name = reader.one("name")
    if reader.rest():
        raise MetadataError("nameID holds nothing but a name")
    return NameId(_attribute(element, "aor"), None if name is None else _read_lang_text(name))


def _read_stream(element: _Element) -> Stream:
    reader = _Reader(element, ("stream_id", "session_id"))
    return Stream(
        reader.id("stream_id"), reader.optional_id("session_id"), reader.text("label"), reader.rest()
    )


def _read_session_recording(element: _Element) -> SessionRecording:
    reader = _Reader(element, ("session_id",))
    return SessionRecording(reader.id("session_id"), *reader.times(), reader.rest())


def _read_participant_session(element: _Element) -> ParticipantSession:
    reader = _Reader(element, ("participant_id", "session_id"))
    ids = reader.id("participant_id"), reader.id("session_id")
    times = reader.times()
    params = tuple(
        Param(_attribute(each, "pname"), _attribute(each, "pval")) for each in reader.many("param")
    )
    return ParticipantSession(*ids, *times, params, reader.rest())


def _read_participant_stream(element: _Element) -> ParticipantStream:
    reader = _Reader(element, ("participant_id",))
    participant = reader.id("participant_id")
    send = tuple(_read_id(_plain(each).strip(), "send") for each in reader.many("send"))
    recv = tuple(_read_id(_plain(each).strip(), "recv") for each in reader.many("recv"))
    return ParticipantStream(participant, send, recv, *reader.times(), reader.rest())


def _read_lang_text(element: _Element) -> LangText:
    return LangText(_plain(element), element.get(_LANG))


def _read_foreign(element: _Element, *, outermost: bool = False) -> Extension:
    return Extension(
        str(element.tag),
        tuple((str(name), str(value)) for name, value in element.attrib.items()),
        element.text or "",
        tuple(_read_foreign(child) for child in element),
        "" if outermost else element.tail or "",
    )


def _read_id(text: str, what: str) -> Id:
    if not is_id(text):
        raise MetadataError(f"{what} is not base64 of 16 octets: {text[:40]!r}")
    return Id(text)


def _attribute(element: _Element, name: str) -> str:
    value = element.get(name)
    if value is None:
        raise MetadataError(f"{_shown(element.tag)} lacks its {name}")
    return str(value)


def _plain(element: _Element) -> str:
    if len(element):
        raise MetadataError(f"{_shown(element.tag)} holds elements where text is wanted")
    return element.text or ""


def _shown(tag: object) -> str:
    """A tag as an error shows it: without our own namespace, and not without end."""
    return str(tag).removeprefix(_NS)[:80]
