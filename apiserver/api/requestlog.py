"""The request log: each request is counted for ``/metrics``, from its arrival to its last byte, and perhaps logged.

How much is logged is a number, upstream's ``--v``, which ``PUT /debug/flags/v`` changes while the server runs:

0   requests that took longer than SLOW seconds, with what they spent the time on (model/trace.py)
2   also requests that write, and the beginning and end of long-running ones (watches, execs, followed logs)
3   all requests

Bodies are never logged. Nor is the query of a request that connects to a pod, since it holds the command of an exec.
"""

from __future__ import annotations

import logging
import mmap
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Response

from apiserver.model import metrics, trace
from apiserver.model.exchange import EXCHANGE, Exchange
from machinery.metrics import METRICS, Labels

if TYPE_CHECKING:
    from apiserver.model.kind import Kind
    from apiserver.model.requestinfo import RequestInfo
    from apiserver.model.user import User

log = logging.getLogger("apiserver.requests")

SLOW = 1.0  # seconds
WRITES, ALL = 2, 3
_LONGEST_URI = 400
_LONG_RUNNING = frozenset({"attach", "exec", "log", "portforward", "proxy"})
# What upstream's metrics call the verbs. All requests for _CONNECT count as CONNECT, whatever their method.
_VERBS = {
    "get": "GET",
    "list": "LIST",
    "watch": "WATCH",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETECOLLECTION",
    "head": "GET",
    "post": "POST",
    "put": "PUT",
}
_CONNECT = _LONG_RUNNING - {"log"}
_READS = frozenset({"get", "head", "list", "watch"})
_ROOTS = ("/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi", "/readyz", "/version")

_level = mmap.mmap(-1, 1)  # shared by the workers, which are forked later


def verbosity() -> int:
    return _level[0]


def set_verbosity(level: int) -> None:
    """Set it for all workers."""
    _level[0] = max(0, min(level, 255))


class _Counters:
    """The places in METRICS' shared memory where requests with the same labels are counted.

    They are looked up once for each combination of labels: for each request it would take a tenth of its time.
    """

    __slots__ = ("codes", "labels", "long_running", "open", "sizes", "writes")

    def __init__(self, labels: Labels, info: RequestInfo | None) -> None:
        self.labels = labels  # verb, dry_run, group, version, resource, subresource, scope, component
        verb = info.verb if info is not None else ""
        resource = info is not None and info.is_resource
        self.long_running = resource and (verb == "watch" or (info is not None and info.subresource in _LONG_RUNNING))
        self.writes = resource and verb not in _READS
        shared = labels[:1] + labels[2:]
        gauge = metrics.LONG_RUNNING if self.long_running else metrics.IN_FLIGHT
        labels_of_gauge = shared if self.long_running else ("mutating",) if self.writes else ("readOnly",)
        gauge.add(labels_of_gauge, 0.0)
        self.open = gauge.place(labels_of_gauge)
        self.sizes = metrics.RESPONSE_SIZES.place(shared) if verb in ("get", "list") else -1
        self.codes: dict[int, int] = {}

    def begin(self) -> None:
        with METRICS.lock:
            METRICS.values[self.open] += 1

    def end(self, code: int, seconds: float, size: int, *, was_open: bool) -> None:
        requests, sizes, values = metrics.REQUESTS, metrics.RESPONSE_SIZES, METRICS.values
        place = self.codes.get(code, -1)
        if place < 0:
            place = self.codes[code] = requests.place((*self.labels, str(code)))
        with METRICS.lock:
            values[place + bisect_left(requests.bounds, seconds)] += 1
            values[place + requests.width - 1] += seconds
            if self.sizes >= 0:
                values[self.sizes + bisect_left(sizes.bounds, size)] += 1
                values[self.sizes + sizes.width - 1] += size
            if was_open:
                values[self.open] -= 1


_counters: dict[tuple[object, ...], _Counters] = {}
_MOST_COUNTERS = 4096


def forget_counters() -> None:
    """Forget what was looked up, for tests that make new memory for the numbers."""
    _counters.clear()


class RequestLog:
    """One request's entry. ``info``, ``user`` and ``kind`` are set as soon as they are known.

    ``authorized`` and ``answered`` are called in this order; a request that is refused has no ``authorized``.
    """

    def __init__(self, environ: dict[str, Any], find_kind: Callable[[str, str, str], Kind | None]) -> None:
        self._environ = environ
        self._find_kind = find_kind  # by group, version and plural
        self._exchange: Exchange | None = environ.get(EXCHANGE)
        self._started = time.perf_counter()
        self._authorized = 0.0
        self._counters: _Counters | None = None
        self._ended = False
        self.info: RequestInfo | None = None
        self.user: User | None = None
        self.kind: Kind | None = None
        self.spent = trace.begin()

    def authorized(self) -> None:
        """Note that the request is authorized and about to be handled: from now on it counts as open."""
        self._authorized = time.perf_counter()
        counters = self._counters = self._find_counters()
        counters.begin()
        if counters.long_running and verbosity() >= WRITES:
            log.info("%s begins, for %s", self._what, self._who)

    def answered(self, response: Response) -> None:
        """Note that the response is made. Its body is sent next, which for a watch may take hours.

        The entry ends when the response is closed, or now if the handler has taken the socket over.
        """
        trace.end()
        self._handled = time.perf_counter()
        body = response.response
        self._length = sum(map(len, body)) if type(body) is list else 0
        if self._exchange is not None and self._exchange.taken_over:
            self._end(101 if "HTTP_UPGRADE" in self._environ else 200)
        else:
            response.call_on_close(partial(self._end, response.status_code))

    def _end(self, code: int) -> None:
        if self._ended:
            return
        self._ended = True
        seconds = time.perf_counter() - self._started
        counters = self._counters
        was_open = counters is not None
        if counters is None:
            counters = self._find_counters()
        counters.end(code, seconds, self._sent, was_open=was_open)
        level = _level[0]
        if level >= ALL or (level >= WRITES and (counters.long_running or counters.writes)):
            log.info("%s %d, %s, %s, for %s", self._what, code, _time(seconds), _size(self._sent), self._who)
        if seconds > SLOW and not counters.long_running:
            steps = ", ".join(self._trace(seconds))
            log.warning("slow: %s %d, %s, for %s: %s", self._what, code, _time(seconds), self._who, steps)

    def _trace(self, seconds: float) -> Iterator[str]:
        """Yield what the time was spent on. The rest of it counts as computing, or waiting for the processor."""
        handling = self._handled - self._started
        parts: dict[str, list[float]] = {}
        if self._authorized:
            parts["access"] = [self._authorized - self._started]
        for name, took in self.spent:
            parts.setdefault(name, []).append(took)
        parts["computing"] = [handling - sum(map(sum, parts.values()))]
        parts["sending"] = [seconds - handling]
        for name, times in parts.items():
            yield f"{name} {_time(sum(times))}" + (f" in {len(times)} calls" if len(times) > 1 else "")

    def _find_counters(self) -> _Counters:
        info, environ = self.info, self._environ
        if info is None:
            return _Counters(_UNKNOWN, None)
        applies = info.verb == "patch" and environ.get("CONTENT_TYPE", "").startswith("application/apply-patch")
        dry_run = "dryRun=All" in environ["QUERY_STRING"]
        named = bool(info.name), bool(info.namespace)
        resource = info.group, info.version, info.resource, info.subresource, self.kind is None
        key = (info.verb, *resource, *named, dry_run, applies, info.is_resource or info.path)
        counters = _counters.get(key)
        if counters is None:
            if self.kind is None and info.is_resource:
                # It was refused before it came to its kind.
                self.kind = self._find_kind(info.group, info.version, info.resource)
            counters = _Counters(_labels(info, self.kind, applies=applies, dry_run=dry_run), info)
            if len(_counters) < _MOST_COUNTERS:
                _counters[key] = counters
        return counters

    @property
    def _sent(self) -> int:
        """The bytes of the response's body; of a stream the web server has counted them."""
        return self._length or (self._exchange.bytes_sent if self._exchange is not None else 0)

    @property
    def _what(self) -> str:
        """Method and URI, such as ``GET /api/v1/nodes``."""
        uri = str(self._environ.get("RAW_URI") or self._environ["PATH_INFO"])
        if self.info is not None and self.info.subresource in _CONNECT:
            uri = uri.partition("?")[0]
        if len(uri) > _LONGEST_URI:
            uri = uri[:_LONGEST_URI] + "…"
        return f"{self._environ['REQUEST_METHOD']} {uri}"

    @property
    def _who(self) -> str:
        """User and program, such as ``admin with kubectl/v1.32.0``."""
        name = self.user.name if self.user is not None else "an unknown user"
        agent = self._environ.get("HTTP_USER_AGENT", "").split(" ", 1)[0]
        return f"{name} with {agent[:_LONGEST_URI]}" if agent else name


_UNKNOWN = ("other", "", "", "", "", "", "", "")


def _labels(info: RequestInfo, kind: Kind | None, *, applies: bool, dry_run: bool) -> Labels:
    """Return verb, dry_run, group, version, resource, subresource, scope and component.

    A resource or subresource that does not exist is "", so that clients cannot make up label values without end.
    """
    verb = _VERBS.get(info.verb, "other")
    if not info.is_resource:
        root = "/" + info.path.lstrip("/").partition("/")[0]
        return (verb, "", "", "", "", root if root in _ROOTS else "", "", "")
    if kind is None:
        return (verb, "", "", "", "", "", "", "apiserver")
    subresource = info.subresource if info.subresource in kind.subresources else ""
    if subresource in _CONNECT:
        verb = "CONNECT"
    elif applies:
        verb = "APPLY"
    scope = "cluster"
    if info.name or info.verb == "create":
        scope = "resource"
    elif info.namespace:
        scope = "namespace"
    all_ = "All" if dry_run else ""
    return (verb, all_, info.group, info.version, info.resource, subresource, scope, "apiserver")


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _size(count: int) -> str:
    return f"{count} B" if count < 10_000 else f"{count / 1000:,.0f} kB"
