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
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Response

from apiserver.model import metrics, trace
from apiserver.model.exchange import EXCHANGE, Exchange
from machinery.metrics import Labels

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
    **{verb: verb.upper() for verb in ("get", "list", "watch", "post", "put", "patch", "delete", "deletecollection")},
    **{"head": "GET", "create": "POST", "update": "PUT"},
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
        self._ended = False
        self._labels: Labels = _UNKNOWN
        self._long_running = self._writes = False
        self.info: RequestInfo | None = None
        self.user: User | None = None
        self.kind: Kind | None = None
        self.spent = trace.begin()

    def authorized(self) -> None:
        """Note that the request is authorized and about to be handled: from now on it counts as open."""
        self._authorized = time.perf_counter()
        self._classify()
        self._count_open(1)
        if self._long_running and verbosity() >= WRITES:
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
        if self._authorized:
            self._count_open(-1)
        else:
            self._classify()
        metrics.REQUESTS.observe(seconds, (*self._labels, str(code)))
        if self.info is not None and self.info.verb in ("get", "list"):
            metrics.RESPONSE_SIZES.observe(self._sent, _without_dry_run(self._labels))
        level = verbosity()
        if level >= ALL or (level >= WRITES and (self._long_running or self._writes)):
            log.info("%s %d, %s, %s, for %s", self._what, code, _time(seconds), _size(self._sent), self._who)
        if seconds > SLOW and not self._long_running:
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

    def _classify(self) -> None:
        """Work out the request's labels, and whether it lasts and writes."""
        info = self.info
        if info is None:
            return
        if self.kind is None and info.is_resource:  # It was refused before it came to its kind.
            self.kind = self._find_kind(info.group, info.version, info.resource)
        applies = info.verb == "patch" and self._environ.get("CONTENT_TYPE", "").startswith("application/apply-patch")
        dry_run = "dryRun=All" in self._environ["QUERY_STRING"]
        self._labels = _labels(info, self.kind, applies=applies, dry_run=dry_run)
        self._long_running = info.is_resource and (info.verb == "watch" or info.subresource in _LONG_RUNNING)
        self._writes = info.is_resource and info.verb not in _READS

    def _count_open(self, change: int) -> None:
        if self._long_running:
            metrics.LONG_RUNNING.add(_without_dry_run(self._labels), change)
        else:
            metrics.IN_FLIGHT.add(("mutating" if self._writes else "readOnly",), change)

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
    subresource = info.subresource if kind.subresource(info.subresource) else ""
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


def _without_dry_run(labels: Labels) -> Labels:
    return labels[:1] + labels[2:]


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _size(count: int) -> str:
    return f"{count} B" if count < 10_000 else f"{count / 1000:,.0f} kB"
