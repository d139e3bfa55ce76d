"""Every metric of a gateway, declared in one list, and the registry that they are served from.

Counters and histograms are kept here; gauges and the media engine's counters are read when they are asked
for. The `process_*` metrics that every client of Prometheus has come on top.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Kind(StrEnum):
    """The type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric as it is declared, served and documented; there is one of each."""

    name: str
    """With its unit, and `_total` on a counter."""
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram."""
    live: bool = False
    """Read when it is asked for, not counted here. Gauges always are."""


def _counter(name: str, help_text: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, help_text, labels)


def _live_counter(name: str, help_text: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, help_text, labels, live=True)


def _gauge(name: str, help_text: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, help_text, labels, live=True)


_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0)
_DURATIONS = (1.0, 5.0, 15.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 14400.0)
_LAGS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)

INFO: Final = _gauge("sidestream_info", "Always 1; the labels say what runs.", "version", "node")
READY: Final = _gauge("sidestream_ready", "1 while new calls are taken, 0 while draining.")

CALLS_ACTIVE: Final = _gauge(
    "sidestream_calls_active", "Calls whose record is not written yet: set up, talking, or being closed."
)
CALLS_CLOSING: Final = _gauge(
    "sidestream_calls_closing", "Of the active calls, those that have ended and whose streams still deliver."
)
CALLS: Final = _counter(
    "sidestream_calls_total", "Calls that ended, by the verdict's slug and its class.", "verdict", "result"
)
CALL_SETUP_SECONDS: Final = Metric(
    "sidestream_call_setup_seconds",
    Kind.HISTOGRAM,
    "From the caller's INVITE to the answer that was passed back, with ringing.",
    buckets=_SECONDS,
)
CALL_DURATION_SECONDS: Final = Metric(
    "sidestream_call_duration_seconds",
    Kind.HISTOGRAM,
    "From the answer to the end, of answered calls.",
    buckets=_DURATIONS,
)
CALL_FAULTS: Final = _counter(
    "sidestream_call_faults_total",
    "Errors of our own in the handling of calls; each is logged with its trace.",
)
LEG_MOS: Final = Metric(
    "sidestream_leg_mos",
    Kind.HISTOGRAM,
    "Estimated opinion score (E-model) of what came from each party of answered calls.",
    buckets=(1.5, 2.0, 2.6, 3.1, 3.6, 4.0, 4.3, 4.5),
)
LEG_LOSS_RATIO: Final = Metric(
    "sidestream_leg_loss_ratio",
    Kind.HISTOGRAM,
    "Share of a party's packets that did not come, of answered calls.",
    buckets=(0.0, 0.001, 0.005, 0.01, 0.03, 0.05, 0.1, 0.2, 0.5),
)
LEG_JITTER_SECONDS: Final = Metric(
    "sidestream_leg_jitter_seconds",
    Kind.HISTOGRAM,
    "Interarrival jitter of a party's packets at the end of answered calls.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2),
)
LEG_ROUND_TRIP_SECONDS: Final = Metric(
    "sidestream_leg_round_trip_seconds",
    Kind.HISTOGRAM,
    "Last round trip to a party by RTCP, of answered calls in which it was measured.",
    buckets=(0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0),
)
QUALITY_NOTES: Final = _counter(
    "sidestream_quality_notes_total", "What was found wrong with the media of answered calls.", "note"
)

STREAMS_ACTIVE: Final = _gauge("sidestream_streams_active", "Media streams that have no verdict yet.")
STREAMS: Final = _counter(
    "sidestream_streams_total",
    "Media streams that ended, by the verdict's slug and its class.",
    "verdict",
    "result",
)
STREAM_CONNECTIONS: Final = _counter(
    "sidestream_stream_connections_total",
    "Connections to endpoints that stood; `resumed` after a loss.",
    "resumed",
)
STREAM_CONNECT_FAILURES: Final = _counter(
    "sidestream_stream_connect_failures_total",
    "Attempts to connect to an endpoint that failed, by reason.",
    "reason",
)
STREAM_LOSSES: Final = _counter(
    "sidestream_stream_connection_losses_total",
    "Connections to endpoints that were lost, by reason.",
    "reason",
)
STREAM_CONNECT_SECONDS: Final = Metric(
    "sidestream_stream_connect_seconds",
    Kind.HISTOGRAM,
    "TCP, TLS and the upgrade of connections that stood.",
    buckets=_SECONDS[:11],
)
STREAM_FAULTS: Final = _counter(
    "sidestream_stream_faults_total",
    "Errors of our own in the handling of streams; each ended its stream, never its call.",
)

RECORDINGS_ACTIVE: Final = _gauge(
    "sidestream_recordings_active",
    "Recordings that have no verdict yet: they record, or look for a recorder.",
)
RECORDINGS_DUE: Final = _counter(
    "sidestream_recordings_due_total", "Recordings that calls should have had, by integration.", "integration"
)
RECORDINGS: Final = _counter(
    "sidestream_recordings_total",
    "Recordings that ended, by the verdict's slug and its class; `not-recorded` are those that are missing.",
    "verdict",
    "result",
)
RECORDING_ATTEMPTS: Final = _counter(
    "sidestream_recording_attempts_total",
    "Recording sessions that a server was asked for: `established`, `abandoned`, or why not.",
    "outcome",
)
RECORDING_FAILOVERS: Final = _counter(
    "sidestream_recording_failovers_total",
    "Times that a copy went on to another server, by cause, at `setup` or in `mid-call`.",
    "cause",
    "when",
)
RECORDING_LOSSES: Final = _counter(
    "sidestream_recording_losses_total", "Recording sessions that stood and were lost, by cause.", "cause"
)
RECORDING_STREAMS_REFUSED: Final = _counter(
    "sidestream_recording_streams_refused_total", "Streams that a recorder did not want."
)
RECORDING_FIRST_PACKET_SECONDS: Final = Metric(
    "sidestream_recording_first_packet_seconds",
    Kind.HISTOGRAM,
    "From the call's answer to the first packet sent to the recorder; 0 when that was before.",
    buckets=_SECONDS[:11],
)
RECORDING_GAP_SECONDS: Final = Metric(
    "sidestream_recording_gap_seconds",
    Kind.HISTOGRAM,
    "What a copy lacks of its call between a recorder that was lost and the next one.",
    buckets=_SECONDS,
)
RECORDING_DOCUMENTS: Final = _counter(
    "sidestream_recording_documents_total", "Metadata documents sent, by the method they rode in.", "method"
)
RECORDING_DOCUMENTS_REFUSED: Final = _counter(
    "sidestream_recording_documents_refused_total",
    "Changes that a recorder turned down, by method.",
    "method",
)
RECORDING_ODDITIES: Final = _counter(
    "sidestream_recording_oddities_total",
    "Descriptions of recorders that were not by the book and were understood all the same.",
    "note",
)
RECORDING_FAULTS: Final = _counter(
    "sidestream_recording_faults_total",
    "Errors of our own in the handling of recordings; each ended its recording, never its call.",
)
RECORDERS_UP: Final = _gauge(
    "sidestream_recorder_up",
    "1 while a recording server is asked, 0 while it is left out after failures.",
    "account",
    "integration",
    "server",
)

PEERS_UP: Final = _gauge(
    "sidestream_peer_up",
    "1 while a peer of a trunk is up, 0 while it is down or in quarantine and tried last.",
    "account",
    "trunk",
    "peer",
)
PEER_PINGS: Final = _live_counter(
    "sidestream_peer_pings_total",
    "OPTIONS to peers, by outcome: `answered`, `refused` (408, 502, 503 or 504) or `failed`.",
    "outcome",
)
PEER_CHANGES: Final = _live_counter(
    "sidestream_peer_changes_total", "Times that a peer went `up`, `down` or into `quarantined`.", "state"
)

SIP_EVENTS: Final = _counter(
    "sidestream_sip_requests_total", "SIP requests that reached the calls.", "method"
)
SIP_RESPONSES: Final = _counter(
    "sidestream_sip_responses_total",
    "Final responses to our own requests, by method and class.",
    "method",
    "class",
)
SIP_MALFORMED: Final = _live_counter("sidestream_sip_malformed_total", "SIP messages that could not be read.")
SIP_STRAY_RESPONSES: Final = _live_counter(
    "sidestream_sip_stray_responses_total", "SIP responses that belong to no transaction."
)
SIP_AUTH: Final = _live_counter(
    "sidestream_sip_auth_total",
    "Requests that had to show credentials, by what came of it: `accepted`, `missing` (asked for them), "
    "`stale` (asked again), `wrong`, `malformed`, `blocked` after too many wrong ones.",
    "outcome",
)
REGISTRATION_UP: Final = _gauge(
    "sidestream_registration_up", "1 while a trunk is registered at its provider.", "account", "service"
)
REGISTRATION_STATE: Final = _gauge(
    "sidestream_registration_state",
    "Always 1; the labels say where a registration stands, and how its last round ended.",
    "account",
    "service",
    "state",
    "verdict",
)
REGISTRATION_AGE: Final = _gauge(
    "sidestream_registration_age_seconds", "Since when a trunk is registered.", "account", "service"
)
REGISTRATION_NEXT: Final = _gauge(
    "sidestream_registration_next_seconds",
    "Until the next refresh of a registration, or the next attempt at one.",
    "account",
    "service",
)
REGISTRATION_ROUNDS: Final = _counter(
    "sidestream_registration_rounds_total",
    "Registrations and refreshes that came to an end, by verdict.",
    "verdict",
)
SIP_TRANSACTIONS: Final = _gauge(
    "sidestream_sip_transactions", "SIP transactions that live, those waiting out their timers included."
)
SIP_MESSAGES: Final = _live_counter(
    "sidestream_sip_messages_total", "SIP messages and datagrams.", "direction", "transport"
)
SIP_UNREACHABLE: Final = _live_counter(
    "sidestream_sip_unreachable_total", "Times that a SIP peer could not be reached."
)
SIP_DROPPED: Final = _live_counter("sidestream_sip_dropped_total", "SIP messages dropped at a bound.")
SIP_TURNED_AWAY: Final = _live_counter(
    "sidestream_sip_turned_away_total",
    "SIP messages dropped unread, by reason: `scanner`, `not-sip`, `oversize`, `unknown-source` and"
    " `stranger-rate` of strangers, `source-rate` and `trunk-rate` of known addresses; and answers of ours"
    " that would have been larger than a stranger's question (`amplification`).",
    "reason",
)
OVERLOAD_LOSS: Final = _gauge(
    "sidestream_overload_loss_ratio", "Part of new calls that is turned away because there is too much to do."
)
LOOP_BUSY: Final = _gauge(
    "sidestream_loop_busy_ratio", "Part of its processor that the signalling loop used lately."
)
SIP_HANDLER_FAILURES: Final = _live_counter(
    "sidestream_sip_handler_failures_total", "SIP events whose handling raised an error of ours."
)
SIP_CONNECTIONS: Final = _gauge("sidestream_sip_connections", "Open SIP connections.", "transport")
SIP_CONNECTIONS_CLOSED: Final = _live_counter(
    "sidestream_sip_connections_closed_total", "SIP connections that ended, by reason.", "reason"
)

DNS_QUERIES: Final = _live_counter(
    "sidestream_dns_queries_total",
    "Questions to the DNS, by type of record and outcome: `answered`, `denied` or `failed`.",
    "type",
    "outcome",
)
DNS_STALE: Final = _live_counter(
    "sidestream_dns_stale_answers_total", "Times that a name served by an answer whose time was over."
)
SIP_TLS_HANDSHAKES: Final = _live_counter(
    "sidestream_sip_tls_handshakes_total",
    "TLS handshakes of SIP connections that succeeded; `accepted`: the peer connected, `opened`: we did.",
    "direction",
    "version",
)
SIP_TLS_HANDSHAKES_OPEN: Final = _gauge("sidestream_sip_tls_handshakes_open", "TLS handshakes going on.")
SIP_TLS_FAILURES: Final = _live_counter(
    "sidestream_sip_tls_failures_total",
    "TLS handshakes that failed and TLS connections that broke, by reason.",
    "direction",
    "reason",
)
SIP_TLS_ALIASES: Final = _live_counter(
    "sidestream_sip_tls_aliases_total",
    "Requests sent over a connection that the peer had opened for that, too (RFC 5923).",
)
SIP_TLS_RELOADS: Final = _live_counter(
    "sidestream_sip_tls_reloads_total",
    "Times that files of certificates were taken anew; `refused`: they can't be used, the old ones go on.",
    "outcome",
)
SIP_TLS_CERTIFICATE_EXPIRY: Final = _gauge(
    "sidestream_sip_tls_certificate_expiry_timestamp_seconds",
    "When the certificate of SIP over TLS expires, in seconds since 1970.",
)

MEDIA_PORTS_IN_USE: Final = _gauge("sidestream_media_ports_in_use", "UDP ports of open legs.")
MEDIA_PORTS: Final = _gauge("sidestream_media_ports", "UDP ports of the configured range.")
MEDIA_PACKETS: Final = _live_counter("sidestream_media_packets_total", "RTP packets.", "direction")
MEDIA_REFUSED: Final = _live_counter(
    "sidestream_media_packets_refused_total", "RTP packets that were not relayed, by reason.", "reason"
)
MEDIA_RTCP: Final = _live_counter("sidestream_media_rtcp_packets_total", "RTCP packets.", "direction")
MEDIA_CALLS: Final = _gauge("sidestream_media_calls", "Calls that the media engine holds.")
MEDIA_STREAMS: Final = _gauge("sidestream_media_streams", "Streams that the media engine holds.")
MEDIA_RECORDINGS: Final = _gauge("sidestream_media_recordings", "Recordings that the media engine sends.")
STREAM_MESSAGES: Final = _live_counter("sidestream_stream_messages_total", "Messages made for endpoints.")
STREAM_BYTES: Final = _live_counter("sidestream_stream_bytes_total", "Bytes sent to endpoints.")
STREAM_DROPPED: Final = _live_counter(
    "sidestream_stream_dropped_samples_total", "Samples dropped because an endpoint was too slow or away."
)
RECORDING_PACKETS: Final = _live_counter(
    "sidestream_recording_packets_total", "RTP packets sent to recorders."
)
RECORDING_UNSENT: Final = _live_counter(
    "sidestream_recording_packets_unsent_total", "RTP packets to recorders that the network did not take."
)
MEDIA_EVENTS_DROPPED: Final = _live_counter(
    "sidestream_media_events_dropped_total", "Facts of the media engine that found its queue full."
)

LOOP_LAG_SECONDS: Final = Metric(
    "sidestream_loop_lag_seconds",
    Kind.HISTOGRAM,
    "How late the signalling loop woke up, measured twice a second.",
    buckets=_LAGS,
)
TASKS: Final = _gauge("sidestream_tasks", "Tasks of the signalling loop.")
JOURNAL_WAITING: Final = _gauge("sidestream_journal_waiting", "Call records that wait to be written.")
JOURNAL_WRITTEN: Final = _live_counter("sidestream_journal_records_total", "Call records written.")
JOURNAL_ERRORS: Final = _live_counter("sidestream_journal_errors_total", "Writes of the journal that failed.")
JOURNAL_LOST: Final = _live_counter(
    "sidestream_journal_lost_total",
    "Call records that could only be logged, because the disk failed for too long.",
)
TRACE_MESSAGES: Final = _live_counter(
    "sidestream_trace_items_total", "SIP messages and events of calls that were kept for troubleshooting."
)
TRACE_OMITTED: Final = _live_counter(
    "sidestream_trace_omitted_total", "SIP messages and events that were left out at a bound of `node.trace`."
)
TRACE_MEMORY: Final = _gauge("sidestream_trace_memory_bytes", "Memory that traces of calls take.")
TRACE_DISK: Final = _gauge("sidestream_trace_disk_bytes", "Disk space that ended calls take.")
TRACE_CALLS: Final = _live_counter(
    "sidestream_trace_calls_total",
    "Ended calls in the store for troubleshooting: `written`, `deleted` for age or size, and `lost`.",
    "outcome",
)
HEP_PACKETS: Final = _live_counter(
    "sidestream_hep_packets_total",
    "Packets for the HEP collector: `sent`, and `dropped` at a bound.",
    "outcome",
)

METRICS: Final = tuple(value for value in dict(globals()).values() if isinstance(value, Metric))
"""All of them, in the order of their declaration."""

LabelValues = tuple[str, ...]
Reading = float | Mapping[LabelValues, float]
"""The value of a metric without labels, or one value for each set of label values."""


class Metrics(Collector):
    """The metrics of one process. Not shared between event loops or threads, but for `expose`."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._readers: list[Callable[[], Mapping[Metric, Reading]]] = []
        kept = [metric for metric in METRICS if not metric.live]
        self._counters = {
            metric: Counter(metric.name, metric.help, metric.labels, registry=self._registry)
            for metric in kept
            if metric.kind is Kind.COUNTER
        }
        self._histograms = {
            metric: Histogram(
                metric.name, metric.help, metric.labels, registry=self._registry, buckets=metric.buckets
            )
            for metric in kept
            if metric.kind is Kind.HISTOGRAM
        }
        self._labelled: dict[tuple[Metric, LabelValues], Counter] = {}
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Add to a counter; `labels` are values in the declared order."""
        known = self._labelled.get((metric, labels))
        if known is None:
            counter = self._counters[metric]
            known = self._labelled[metric, labels] = counter.labels(*labels) if metric.labels else counter
        known.inc(by)

    def observe(self, metric: Metric, value: float) -> None:
        """Put a value into a histogram."""
        self._histograms[metric].observe(value)

    def read_from(self, reader: Callable[[], Mapping[Metric, Reading]]) -> None:
        """Have live metrics read from `reader` at each scrape."""
        self._readers.append(reader)

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        """Read the live metrics; the registry calls this."""
        for reader in self._readers:
            for metric, reading in reader().items():
                yield _family(metric, reading)

    def describe(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        """Tell the registry that names need not be known before the first scrape."""
        return ()

    def expose(self) -> bytes:
        """Return everything in the text format of Prometheus."""
        return generate_latest(self._registry)


def _family(metric: Metric, reading: Reading) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    values = reading if isinstance(reading, Mapping) else {(): reading}
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
