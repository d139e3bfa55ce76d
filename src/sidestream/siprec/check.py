"""A strict judge of recording metadata, for tests and for a recorder that does not look away.

It wants more than the schema of RFC 7865 section 9: ids of exactly 16 octets, times with zones, references
that resolve (in a partial document also to what came before), labels that are those of the offer beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache
from importlib.resources import files
from typing import Final

from lxml import etree

from sidestream.siprec.errors import MetadataError
from sidestream.siprec.metadata import Document, Recording, SnapshotRequest
from sidestream.siprec.xml import parse, parse_tree

MAX_ERRORS: Final = 20
"""Of one document; the first ones are those that explain the others."""

KnownIds = dict[str, str]
"""Ids that documents have defined, and what each is: `group`, `session`, `participant` or `stream`."""


class _PackageData(etree.Resolver):
    """Schemas of this package and nothing else: no name leads out of it."""

    def resolve(self, system_url: str, public_id: str, context: object) -> object:  # type: ignore[override]
        """The schema that an import names."""
        del public_id
        name = system_url.rpartition("/")[2]
        if name != "xml-lang.xsd":
            raise ValueError(f"no schema of ours: {system_url}")
        return self.resolve_string(_data(name), context)  # type: ignore[call-arg] # the stubs are stricter


def _data(name: str) -> bytes:
    return files(__package__ or "sidestream.siprec").joinpath(name).read_bytes()


@cache
def schema() -> etree.XMLSchema:
    """The schema of recording metadata."""
    parser = etree.XMLParser(no_network=True)
    parser.resolvers.add(_PackageData())
    return etree.XMLSchema(etree.fromstring(_data("rs-metadata.xsd"), parser))


class Checker:
    """Judges the documents of one recording session, in their order.

    Attributes:
        known: what the documents so far have defined.
        current: the last document that was well formed.
    """

    def __init__(self) -> None:
        self.known: KnownIds = {}
        self.current: Document | None = None
        self._seen_complete = False

    def check(self, data: bytes, labels: Collection[str] | None = None) -> list[str]:
        """Judge a document.

        Args:
            data: the document.
            labels: the labels of the session description beside it; None when there is none.

        Returns:
            What is wrong with it, in words; empty when nothing is.
        """
        self.current = None
        try:
            root = parse_tree(data)
        except MetadataError as error:
            return [str(error)]
        found = list(_schema_errors(root))
        try:
            document = parse(data)
        except MetadataError as error:
            return [*found, str(error)][:MAX_ERRORS]
        self.current = document
        if isinstance(document, SnapshotRequest):
            return found[:MAX_ERRORS]
        found += self._definitions(document)
        found += self._references(document)
        found += _label_errors(document, labels)
        return found[:MAX_ERRORS]

    def _definitions(self, document: Recording) -> Iterator[str]:
        if document.is_complete:
            self._seen_complete = True
        elif not self._seen_complete:
            yield "a partial document came before any complete one (RFC 7866 section 9.1)"
        seen: set[str] = set()
        for kind, identity in _defined(document):
            if identity in seen:
                yield f"{kind} {identity} is defined twice"
            seen.add(identity)
            # The same id is the same object for as long as the recording lives, a new snapshot included.
            if self.known.setdefault(identity, kind) != kind:
                yield f"id {identity} was a {self.known[identity]} and is now a {kind}"

    def _references(self, document: Recording) -> Iterator[str]:
        here = {identity: kind for kind, identity in _defined(document)}
        known = here if document.is_complete else {**self.known, **here}
        for kind, identity, where in _referred(document):
            if known.get(identity) != kind:
                yield f"{where} refers to a {kind} that is not defined: {identity}"


def check(data: bytes, labels: Collection[str] | None = None) -> list[str]:
    """Judge a document that stands alone; see `Checker.check`."""
    return Checker().check(data, labels)


def _schema_errors(root: etree._Element) -> Iterator[str]:
    validator = schema()
    if not validator.validate(root):
        for error in validator.error_log:  # type: ignore[attr-defined]  # the stubs forget that it iterates
            yield f"schema: line {error.line}: {error.message}"


def _defined(document: Recording) -> Iterator[tuple[str, str]]:
    for group in document.groups:
        yield "group", group.group_id
    for session in document.sessions:
        yield "session", session.session_id
    for participant in document.participants:
        yield "participant", participant.participant_id
    for stream in document.streams:
        yield "stream", stream.stream_id


def _referred(document: Recording) -> Iterator[tuple[str, str, str]]:
    for session in document.sessions:
        if session.group_ref is not None:
            yield "group", session.group_ref, "session"
    for stream in document.streams:
        if stream.session_id is not None:
            yield "session", stream.session_id, "stream"
    for recorded in document.session_recordings:
        yield "session", recorded.session_id, "sessionrecordingassoc"
    for taking_part in document.participant_sessions:
        yield "participant", taking_part.participant_id, "participantsessionassoc"
        yield "session", taking_part.session_id, "participantsessionassoc"
    for hearing in document.participant_streams:
        yield "participant", hearing.participant_id, "participantstreamassoc"
        for identity in (*hearing.send, *hearing.recv):
            yield "stream", identity, "participantstreamassoc"


def _label_errors(document: Recording, labels: Collection[str] | None) -> Iterator[str]:
    named = [stream.label for stream in document.streams if stream.label is not None]
    if labels is None:
        if named:
            yield "labels are named without a session description that defines them (RFC 7866 section 9.1)"
        return
    for label in named:
        if label not in labels:
            yield f"label {label!r} is not in the session description"
    if len(set(named)) != len(named):
        yield "two streams have the same label"
    if document.is_complete:
        for label in sorted(set(labels) - set(named)):
            yield f"no stream has the label {label!r} of the session description"
