"""Judges the messages of one recording session and keeps what they bring; every finding is told once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from sidestream import sdp
from sidestream.sip.message import Message, Request
from sidestream.tools.recorder_answers import words_of
from sidestream.tools.recorder_events import Documented, Noted, RecorderEvent
from sidestream.tools.recorder_findings import Finding, violation, violations
from sidestream.tools.recorder_metadata import MetadataHistory, label_scope
from sidestream.tools.recorder_result import MetadataEntry
from sidestream.tools.recorder_rules import (
    ReadBody,
    judge_bye,
    judge_change,
    judge_contact,
    judge_first_body,
    judge_invite,
    read_body,
)
from sidestream.tools.recorder_sdp import judge_answer, judge_offer, judge_sdp
from sidestream.tools.recorder_store import SessionStore

NEVER_REFUSED: Final = frozenset({"BYE", "200", "ACK"})


@dataclass(slots=True)
class Judged:
    """A message that was judged.

    Attributes:
        accepted: whether what it asks for may be done.
        description: its session description, None without a readable one.
        findings: what is wrong with it.
        body: its parts.
    """

    accepted: bool
    description: sdp.SessionDescription | None
    findings: list[Finding]
    body: ReadBody


@dataclass(slots=True)
class Judge:
    """The judge of one session.

    Attributes:
        store: keeps documents and findings.
        strict: whether a broken rule refuses the message.
        tell: is told documents and findings.
        history: the metadata so far.
        snapshots: complete documents that were accepted.
    """

    store: SessionStore
    strict: bool
    tell: Callable[[RecorderEvent], None]
    history: MetadataHistory = field(default_factory=MetadataHistory)
    snapshots: int = 0

    def invite(self, request: Request, size: int) -> Judged:
        """Judge the INVITE that asks for the session; `size` is that of the message on the wire."""
        found = judge_invite(request, size, datetime.now(UTC))
        body = read_body(request)
        found += judge_first_body(body, request.headers.get("Content-Type"))
        return self._judge("INVITE", body, found, None)

    def change(self, request: Request, before: sdp.SessionDescription | None) -> Judged:
        """Judge a re-INVITE or UPDATE; `before` is the client's description so far."""
        name = "UPDATE" if request.method == "UPDATE" else "re-INVITE"
        return self._judge(name, read_body(request), judge_change(request), before)

    def bye(self, request: Request) -> None:
        """Judge a BYE; it is never refused."""
        self._judge("BYE", read_body(request), judge_bye(request), None)

    def answer(
        self,
        name: str,
        message: Message,
        offer: sdp.SessionDescription | None,
        before: sdp.SessionDescription | None,
    ) -> sdp.SessionDescription | None:
        """Judge the client's answer to an offer of ours, in a 200 or an ACK; returns its description."""
        found = list(judge_contact(message)) if name == "200" else []
        body = read_body(message)
        found += body.findings
        description = self._description(body, found)
        if description is None:
            found.append(
                violation("sdp-missing", "no session description answers ours", "RFC 3264 section 5")
            )
        elif offer is not None and before is not None:
            found += judge_answer(description, offer, before)
        self._finish(name, Judged(True, description, found, body))
        return description

    def note(self, where: str, finding: Finding) -> None:
        """Take note of something that was found; `where` names the message."""
        placed = replace(finding, where=where)
        if self.store.findings.add(placed):
            self.tell(Noted(self.store.directory.name, placed))

    def _judge(
        self, name: str, body: ReadBody, found: list[Finding], before: sdp.SessionDescription | None
    ) -> Judged:
        found += body.findings
        description = self._description(body, found)
        if description is not None and name not in NEVER_REFUSED:
            found += judge_offer(description, before)
        judged = Judged(name in NEVER_REFUSED or self._may_pass(found), description, found, body)
        self._finish(name, judged)
        return judged

    @staticmethod
    def _description(body: ReadBody, found: list[Finding]) -> sdp.SessionDescription | None:
        if body.sdp is None:
            return None
        description, wrong = judge_sdp(body.sdp)
        found += wrong
        return description

    def _may_pass(self, found: list[Finding]) -> bool:
        return not self.strict or not violations(found)

    def _finish(self, name: str, judged: Judged) -> None:
        """Judge the document of a message too, and keep all that was found."""
        if judged.body.metadata is not None:
            self._take_document(name, judged, judged.body.metadata)
        for finding in judged.findings:
            self.note(name, finding)

    def _take_document(self, name: str, judged: Judged, data: bytes) -> None:
        now = datetime.now(UTC)
        document, found = self.history.judge(data, _labels_of(judged.description, data), now)
        judged.findings += found
        judged.accepted = judged.accepted and (name in NEVER_REFUSED or self._may_pass(found))
        if judged.accepted:
            self.history.accept()
            self.snapshots += document is not None and document.is_complete
        else:
            self.history.refuse()
        mode = "invalid" if document is None else "complete" if document.is_complete else "partial"
        number = len(self.store.documents) + 1
        entry = MetadataEntry(number, now, name, mode, judged.accepted, tuple(found), None)
        entry = self.store.keep_document(data, entry)
        text = words_of(document, self.history.parties)
        self.tell(Documented(self.store.directory.name, entry, text))


def _labels_of(description: sdp.SessionDescription | None, data: bytes) -> frozenset[str] | None:
    if description is None:
        return None
    live = [media.label for media in description.media if media.port and media.label]
    dead = [media.label for media in description.media if not media.port and media.label]
    return label_scope(data, live, dead)
