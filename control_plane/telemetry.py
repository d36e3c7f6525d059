"""Logs without secrets, and the metrics of one process and of the fleet. README lists every metric."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import orjson
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

REGISTRY = CollectorRegistry()

HTTP_REQUESTS = Counter(
    "leadfleet_http_requests", "Requests answered", ["route", "method", "status"], registry=REGISTRY
)
HTTP_SECONDS = Histogram(
    "leadfleet_http_request_seconds",
    "From a request's arrival to its answer; streams are not counted",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 10),
    registry=REGISTRY,
)
REQUESTS_WAITING = Gauge(
    "leadfleet_http_requests_waiting", "Requests that have arrived and wait for their turn", registry=REGISTRY
)
REQUESTS_REFUSED = Counter(
    "leadfleet_http_requests_refused", "Requests that found too many waiting before them", registry=REGISTRY
)
VIEWERS = Gauge("leadfleet_viewers", "Open streams of this process", ["kind"], registry=REGISTRY)
EVENT_SECONDS = Histogram(
    "leadfleet_event_latency_seconds",
    "From an event's id, which is a time of the store, to its delivery into client queues here",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5),
    registry=REGISTRY,
)
FRAMES_DROPPED = Counter(
    "leadfleet_frames_dropped", "Frames that viewers were too slow or did not want to see", registry=REGISTRY
)
STREAMS_CUT = Counter("leadfleet_streams_cut", "Streams ended by us", ["reason"], registry=REGISTRY)
STORE_ERRORS = Counter("leadfleet_store_errors", "Requests that Valkey did not answer", registry=REGISTRY)
STORE_LOSSES = Counter("leadfleet_store_losses", "Times the store came back without what it held", registry=REGISTRY)
DISPATCH_STALLED = Gauge(
    "leadfleet_dispatch_stalled_seconds",
    "For how long units that can run and free slots that fit them have stood side by side; 5 s are unhealthy",
    registry=REGISTRY,
)
STORAGE_UP = Gauge("leadfleet_storage_up", "Whether object storage is reached: 1 yes, 0 no", registry=REGISTRY)
STORAGE_UP.set(1)  # not known to be down
S3_OPERATIONS = Counter("leadfleet_s3_operations", "Object storage calls", ["operation", "outcome"], registry=REGISTRY)
WEBHOOKS = Counter(
    "leadfleet_webhook_attempts",
    "Attempts to deliver a webhook: delivered, retried, gone, exhausted, expired, stale (overtaken by another replica)",
    ["outcome"],
    registry=REGISTRY,
)

ENRICHMENT_CALLS = Counter(
    "leadfleet_enrichment_calls",
    "Calls of the model's endpoint: answered, unreachable, broken, timeout, rate_limited, server_error, unauthorized, "
    "rejected, malformed",
    ["outcome"],
    registry=REGISTRY,
)
ENRICHMENT_SECONDS = Histogram(
    "leadfleet_enrichment_seconds",
    "How long a call of the model's endpoint took",
    buckets=(0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60),
    registry=REGISTRY,
)
ENRICHMENT_TOKENS = Counter("leadfleet_enrichment_tokens", "Tokens the model was paid for", ["kind"], registry=REGISTRY)
ENRICHMENT_COST = Counter(
    "leadfleet_enrichment_cost", "What that cost, in the money of the price settings", registry=REGISTRY
)
ENRICHMENT_LEADS = Counter(
    "leadfleet_enrichment_leads",
    "Questions about leads that were settled: answered, refused, dropped, retry, later, stale (overtaken)",
    ["outcome"],
    registry=REGISTRY,
)
ENRICHMENT_FALLBACKS = Counter(
    "leadfleet_enrichment_fallbacks",
    "Leads that keep the rules' answer: what was wrong with the model's, how its endpoint failed, capped, waited",
    ["reason"],
    registry=REGISTRY,
)
ENRICHMENT_STRANGERS = Counter(
    "leadfleet_enrichment_strangers", "Answers about leads that the model was not asked about", registry=REGISTRY
)
ENRICHMENT_BREAKER = Gauge(
    "leadfleet_enrichment_breaker", "Whether the model is asked: 0 yes, 1 on trial, 2 no", registry=REGISTRY
)

FLEET_STATES = {
    "units": ("leadfleet_units", "Units by state; queued and waiting ones are the queue's depth", "state"),
    "slots": ("leadfleet_slots", "Slots by state; leased ones are the leases", "state"),
}
FLEET_GAUGES = {
    "nodes": ("leadfleet_nodes", "Nodes whose session is alive"),
    "units_dispatchable": ("leadfleet_units_dispatchable", "Units that may run now and wait for a slot alone"),
    "webhook_receivers": ("leadfleet_webhook_receivers", "Receivers that are owed a webhook"),
    "results_waiting": ("leadfleet_sink_waiting", "Results that are not in the leads table yet"),
    "tidied_at": ("leadfleet_sink_tidied_timestamp_seconds", "When the leads table was last tidied, Unix time"),
    "erasures_open": ("leadfleet_erasures_open", "Erasures that are not done"),
    "wait_seconds_mean": ("leadfleet_wait_seconds_mean", "Mean time a unit waited for its slot"),
    "unit_seconds_mean": ("leadfleet_unit_seconds_mean", "Moving mean of how long a unit runs"),
}
FLEET_TOTALS = {
    "tasks_submitted": ("leadfleet_tasks_submitted", "Tasks accepted"),
    "grants": ("leadfleet_grants", "Leases granted"),
    "pages": ("leadfleet_pages", "Pages fetched"),
    "leads": ("leadfleet_leads", "Leads found"),
    "enrichments": ("leadfleet_enrichments", "Answers of the model that were stored"),
    "enrichments_crowded_out": (
        "leadfleet_enrichments_crowded_out",
        "Leads the model is not asked about because too many of their tenant wait",
    ),
    "leads_withheld": ("leadfleet_leads_withheld", "Leads found and dropped, because somebody in them has opted out"),
    "rows_stored": ("leadfleet_sink_rows", "Rows stored in the leads table"),
    "batches_stored": ("leadfleet_sink_batches", "Batches stored in the leads table"),
    "batches_refused": ("leadfleet_sink_batches_refused", "Batches refused, because another sink had stored them"),
    "batch_seconds": ("leadfleet_sink_batch_seconds", "Time spent storing batches; by batches, what one takes"),
    "tidyings": ("leadfleet_sink_tidyings", "Times the files of the leads table were joined and cleaned up"),
    "tidyings_failed": ("leadfleet_sink_tidyings_failed", "Times that failed"),
    "stale_writes": ("leadfleet_stale_writes", "Writes refused because their fence had passed"),
    "malformed_entries": ("leadfleet_malformed_entries", "Entries of nodes that did not parse"),
    "dead_letters": ("leadfleet_dead_letters", "Units given up"),
    "nodes_lost": ("leadfleet_nodes_lost", "Nodes whose session ended without a goodbye"),
    "chromes_lost": ("leadfleet_chromes_lost", "Chromes that died"),
    "joins_refused": ("leadfleet_joins_refused", "Nodes not let in"),
    "grace_exceeded": ("leadfleet_grace_exceeded", "Cancelled units that were not let go of in time"),
}

_SECRET_KEYS = re.compile(
    r"token|secret|password|authorization|cookie|api[-_]?key|session\b|credential|signature", re.IGNORECASE
)
_SECRET_TEXT = re.compile(
    r"\blfk?_[\w-]{16,}"  # API keys
    r"|(?<=token=)[^&\s\"']+|(?<=token\.)[\w.~-]+|(?<=Bearer )[\w.~+/=-]+"
    r"|(?<=X-Amz-Signature=)\w+|(?<=X-Amz-Credential=)[^&\s]+"
    r"|(?<=auth/link/)[\w-]+"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)",  # user:password of a URL
)
REDACTED = "[redacted]"


def configure_logging(level: str, *, replica: str) -> None:
    """Send structlog and the standard library's loggers to stderr: JSON, or colours on a terminal."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if sys.stderr.isatty():
        renderer: list[structlog.typing.Processor] = [redact, structlog.dev.ConsoleRenderer()]
    else:
        renderer = [
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ]
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(replica=replica)


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: no key, token or password leaves in a log, by its name or by its look."""
    for name, value in event.items():
        event[name] = _clean(name, value)
    return event


def prometheus(gauges: Mapping[str, Any] | None) -> bytes:
    """The metrics page: this process, and the fleet when ``TaskQueue.gauges()`` could be asked."""
    page = generate_latest(REGISTRY)
    if gauges is None:
        return page
    fleet = CollectorRegistry()
    fleet.register(_Fleet(gauges))
    return page + generate_latest(fleet)


class _Fleet:
    """Presents one reading of the fleet's numbers to prometheus_client."""

    def __init__(self, gauges: Mapping[str, Any]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        for key, (name, text, label) in FLEET_STATES.items():
            family = GaugeMetricFamily(name, text, labels=[label])
            for state, value in self._gauges.get(key, {}).items():
                family.add_metric([state], value)
            yield family
        for key, (name, text) in FLEET_GAUGES.items():
            yield GaugeMetricFamily(name, text, value=self._gauges.get(key, 0))
        for key, (name, text) in FLEET_TOTALS.items():
            yield CounterMetricFamily(name, text, value=self._gauges.get(key, 0))
        ended = CounterMetricFamily("leadfleet_tasks_ended", "Tasks ended, by state", labels=["state"])
        for state, value in self._gauges.get("tasks", {}).items():
            ended.add_metric([state], value)
        yield ended
        errors = CounterMetricFamily("leadfleet_errors", "Failed units, by kind of error", labels=["kind"])
        for kind, value in self._gauges.get("errors", {}).items():
            errors.add_metric([kind], value)
        yield errors


def _clean(name: str, value: Any) -> Any:
    if _SECRET_KEYS.search(name):
        return REDACTED
    if isinstance(value, str):
        return _SECRET_TEXT.sub(REDACTED, value)
    if isinstance(value, Mapping):
        return {key: _clean(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", inner) for inner in value]
    if isinstance(value, bool | int | float) or value is None:
        return value
    return value if name in {"exc_info", "timestamp"} else _SECRET_TEXT.sub(REDACTED, str(value))


def _dumps(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode("utf-8", "replace")
