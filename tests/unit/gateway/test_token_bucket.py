import pytest

from sidestream.gateway.token_bucket import TokenBucket


@pytest.mark.parametrize("rate", [1, 5, 200])
def test_a_bucket_passes_its_rate_over_time(rate: int) -> None:
    bucket = TokenBucket(rate, 0.0)
    passed = sum(bucket.take(step / 1000) for step in range(10_000))
    # The burst of one second at the beginning, then the rate; the last token may be due just afterwards.
    assert passed in {rate * 11 - 1, rate * 11}
