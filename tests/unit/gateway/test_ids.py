from uuid import UUID

from sidestream.gateway.ids import new_id, new_token, new_traceparent


def test_ids_are_version_7_and_unique() -> None:
    ids = [UUID(new_id()) for _ in range(1000)]
    assert {one.version for one in ids} == {7}
    assert {one.variant for one in ids} == {ids[0].variant}
    assert len(set(ids)) == 1000


def test_ids_are_in_order_of_time() -> None:
    stamps = [UUID(new_id()).int >> 80 for _ in range(100)]
    assert stamps == sorted(stamps)
    assert stamps[0] > 1_700_000_000_000


def test_tokens_are_words_without_repetition() -> None:
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(token.isalnum() and len(token) == 24 for token in tokens)


def test_a_traceparent_has_the_form_of_version_00() -> None:
    version, trace, span, flags = new_traceparent().split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
