import re

import pytest

from sidestream.observe import metrics
from sidestream.observe.metrics import METRICS, Kind, Metric, Metrics


def test_the_list_is_complete_and_without_doubles() -> None:
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names)) > 30
    assert metrics.CALLS_ACTIVE in METRICS


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_follow_the_rules_of_prometheus(metric: Metric) -> None:
    assert re.fullmatch(r"sidestream_[a-z_]+", metric.name)
    assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total")
    assert metric.help.endswith(".")
    if metric.kind is Kind.HISTOGRAM:
        assert metric.name.endswith(("_seconds", "_ratio", "_mos"))
        assert list(metric.buckets) == sorted(metric.buckets)


def test_counted_and_observed_values_are_exposed() -> None:
    kept = Metrics()
    kept.count(metrics.CALLS, "caller-hung-up", "completed")
    kept.count(metrics.CALLS, "caller-hung-up", "completed", by=2)
    kept.observe(metrics.CALL_SETUP_SECONDS, 0.3)
    text = kept.expose().decode()
    assert 'sidestream_calls_total{result="completed",verdict="caller-hung-up"} 3.0' in text
    assert 'sidestream_call_setup_seconds_bucket{le="0.25"} 0.0' in text
    assert 'sidestream_call_setup_seconds_bucket{le="0.5"} 1.0' in text
    assert "_created" not in text


def test_live_metrics_are_read_at_each_scrape() -> None:
    kept = Metrics()
    calls = [1.0]
    kept.read_from(
        lambda: {metrics.CALLS_ACTIVE: calls[0], metrics.MEDIA_PACKETS: {("received",): 5, ("sent",): 4}}
    )
    assert "sidestream_calls_active 1.0" in kept.expose().decode()
    calls[0] = 7
    text = kept.expose().decode()
    assert "sidestream_calls_active 7.0" in text
    assert 'sidestream_media_packets_total{direction="sent"} 4.0' in text


def test_two_registries_do_not_share_values() -> None:
    one, other = Metrics(), Metrics()
    one.count(metrics.STREAM_FAULTS)
    assert "sidestream_stream_faults_total 1.0" in one.expose().decode()
    assert "sidestream_stream_faults_total 0.0" in other.expose().decode()
