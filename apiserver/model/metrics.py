"""What ``/metrics`` of the API server shows, under upstream's names (apiserver/pkg/endpoints/metrics and storage).

Requests, the store and watches are counted by these families where they happen; what can be looked up is read at a
scrape, see scrape.py.
"""

from __future__ import annotations

from machinery.metrics import METRICS

_RESOURCE = ("group", "version", "resource", "subresource", "scope", "component")
_SECONDS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60)

# A request is observed once and shown as three families, because requests are far more frequent than scrapes.
REQUESTS = METRICS.histogram(
    "apiserver_request_duration_seconds",
    "[STABLE] How long requests took, until the last byte of the answer was sent.",
    ("verb", "dry_run", *_RESOURCE, "code"),
    _SECONDS,
    without=("code",),
)
REQUESTS.counted_as("apiserver_request_total", "[STABLE] Requests, by what was asked and how it was answered.")
REQUESTS.shown_as(
    "apiserver_request_sli_duration_seconds",
    "[ALPHA] How long requests took, without what webhooks took: there are none here.",
    ("code",),
    _SECONDS[2:],
)
RESPONSE_SIZES = METRICS.histogram(
    "apiserver_response_sizes",
    "[STABLE] Bytes of the answers to GET and LIST.",
    ("verb", *_RESOURCE),
    [10.0**power for power in range(3, 10)],
)
IN_FLIGHT = METRICS.gauge(
    "apiserver_current_inflight_requests",
    "[STABLE] Requests that are being served, without long ones.",
    ("request_kind",),
)
LONG_RUNNING = METRICS.gauge(
    "apiserver_longrunning_requests",
    "[STABLE] Open watches, logs, execs and other requests that last.",
    ("verb", *_RESOURCE),
)
WATCH_EVENTS = METRICS.histogram(
    "apiserver_watch_events_sizes",
    "[ALPHA] Bytes of the events that watches were sent.",
    ("group", "version", "kind"),
    [1024 * 2**power for power in range(8)],
)
WATCH_EVENTS.counted_as("apiserver_watch_events_total", "[ALPHA] Events that watches were sent.")
STORE = METRICS.histogram(
    "etcd_request_duration_seconds",
    "[ALPHA] How long the store took.",
    ("operation", "type"),
    (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20),
)
STORE.counted_as("etcd_requests_total", "[ALPHA] What the store was asked.")
STORE_ERRORS = METRICS.counter(
    "etcd_request_errors_total", "[ALPHA] What the store was asked and did not answer.", ("operation", "type")
)
CACHE_RECEIVED = METRICS.counter(
    "apiserver_watch_cache_events_received_total",
    "[ALPHA] Events that the watch caches of all workers were sent.",
    ("resource",),
)
CACHE_DISPATCHED = METRICS.counter(
    "apiserver_watch_cache_events_dispatched_total",
    "[ALPHA] Events that the watch caches gave to watches.",
    ("resource",),
)
CACHE_LOADS = METRICS.counter(
    "apiserver_watch_cache_initializations_total", "[ALPHA] How often workers read all objects from the store."
)
CACHE_WAITS = METRICS.histogram(
    "apiserver_watch_cache_read_wait_seconds", "[ALPHA] How long reads waited for the watch cache to catch up."
)
CACHE_REVISION = METRICS.gauge(
    "apiserver_watch_cache_resource_version",
    "[ALPHA] The revision up to which the watch caches of all workers have come.",
    merge="min",
)
CACHE_REVISION.shown_as(
    "apiserver_watch_cache_newest_resource_version",
    "[ALPHA] The revision up to which the fastest worker's watch cache has come: the difference is the slowest's lag.",
    "max",
)
TERMINATED_WATCHES = METRICS.counter(
    "apiserver_terminated_watchers_total",
    "[ALPHA] Watches that ended because their clients read too slowly.",
    ("resource",),
)
HEALTH = METRICS.gauge(
    "kubernetes_healthcheck",
    "[STABLE] The result of each health check when it was last made: 1 is well.",
    ("name", "type"),
    merge="min",
)
HEALTH_CHECKS = METRICS.counter(
    "kubernetes_healthchecks_total", "[STABLE] The results of health checks.", ("name", "type", "status")
)
