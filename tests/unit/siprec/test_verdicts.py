"""Each way a recording can end has a class, a sentence and a way to it."""

import pytest

from sidestream.siprec.verdicts import (
    SENTENCES,
    Cause,
    RecordingResult,
    RecordingSlug,
    RecordingVerdict,
    slug_of_cause,
)


@pytest.mark.parametrize("slug", RecordingSlug)
def test_every_slug_has_a_sentence_and_a_class(slug: RecordingSlug) -> None:
    verdict = RecordingVerdict(slug)
    assert verdict.sentence == SENTENCES[slug]
    assert verdict.result in RecordingResult
    assert RecordingVerdict(slug, "what was seen").sentence == "what was seen"


def test_only_a_whole_recording_is_completed() -> None:
    assert [slug for slug in RecordingSlug if slug.result is RecordingResult.COMPLETED] == [
        RecordingSlug.COMPLETED
    ]


@pytest.mark.parametrize(
    ("cause", "slug"),
    [
        (Cause.SILENT, RecordingSlug.NO_ANSWER),
        (Cause.NO_ANSWER, RecordingSlug.NO_ANSWER),
        (Cause.UNREACHABLE, RecordingSlug.UNREACHABLE),
        (Cause.BUSY, RecordingSlug.BUSY),
        (Cause.SERVER_ERROR, RecordingSlug.BUSY),
        (Cause.DECLINED, RecordingSlug.DECLINED),
        (Cause.REJECTED, RecordingSlug.REJECTED),
        (Cause.REDIRECTED, RecordingSlug.REJECTED),
        (Cause.BODY_REFUSED, RecordingSlug.REJECTED),
        (Cause.UNAUTHORIZED, RecordingSlug.UNAUTHORIZED),
        (Cause.NOT_A_RECORDER, RecordingSlug.NOT_A_RECORDER),
        (Cause.MEDIA_REFUSED, RecordingSlug.MEDIA_REFUSED),
        (Cause.ANSWER_UNUSABLE, RecordingSlug.ANSWER_UNUSABLE),
        (Cause.MEDIA_FAILED, RecordingSlug.MEDIA_FAILED),
        (Cause.INTERNAL_ERROR, RecordingSlug.INTERNAL_ERROR),
        (Cause.ENDED_BY_RECORDER, RecordingSlug.ENDED_BY_RECORDER),
        (Cause.DIALOG_LOST, RecordingSlug.RECORDER_LOST),
        (Cause.EXPIRED, RecordingSlug.RECORDER_LOST),
    ],
)
def test_a_cause_becomes_a_verdict(cause: Cause, slug: RecordingSlug) -> None:
    assert slug_of_cause(cause) is slug
