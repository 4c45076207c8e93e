"""One request from its arrival to its last byte: counted for ``/metrics``, and told of in the log.

How much is told is a number, upstream's ``--v``, which ``PUT /debug/flags/v`` changes while the server runs:

0   requests that took longer than a second, with what they spent it on
2   also requests that write, and the beginning and end of those that last
3   all requests

Bodies are never logged, and of those that reach into a pod not the query either, which holds an exec's command.
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
from apiserver.registry.request import TAKEN_OVER
from machinery.metrics import METRICS, Labels

if TYPE_CHECKING:
    from apiserver.model.kind import Kind
    from apiserver.model.requestinfo import RequestInfo
    from apiserver.model.user import User

log = logging.getLogger("apiserver.requests")

SLOW = 1.0  # seconds
WRITES, ALL = 2, 3
_LONGEST_URI = 400
_LASTING = frozenset({"attach", "exec", "log", "portforward", "proxy"})
# What upstream's metrics call the verbs; those of CONNECT are the four that no object is read or written by.
_VERBS = {
    "get": "GET", "list": "LIST", "watch": "WATCH", "create": "POST", "update": "PUT", "patch": "PATCH",
    "delete": "DELETE", "deletecollection": "DELETECOLLECTION", "head": "GET", "post": "POST", "put": "PUT",
}  # fmt: skip
_CONNECT = _LASTING - {"log"}
_READS = frozenset({"get", "head", "list", "watch"})
_ROOTS = ("/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi", "/readyz", "/version")

_level = mmap.mmap(-1, 1)  # shared by the workers, which are forked later


def verbosity() -> int:
    return _level[0]


def set_verbosity(level: int) -> None:
    """For all workers."""
    _level[0] = max(0, min(level, 255))


class _Account:
    """Where all requests of one sort are counted: found once, because a request has no time for it."""

    __slots__ = ("codes", "labels", "lasts", "open", "sizes", "writes")

    def __init__(self, labels: Labels, info: RequestInfo | None) -> None:
        self.labels = labels  # verb, dry_run, group, version, resource, subresource, scope, component
        verb = info.verb if info is not None else ""
        resource = info is not None and info.is_resource
        self.lasts = resource and (verb == "watch" or (info is not None and info.subresource in _LASTING))
        self.writes = resource and verb not in _READS
        shared = labels[:1] + labels[2:]
        gauge = metrics.LONG_RUNNING if self.lasts else metrics.IN_FLIGHT
        labels_of_gauge = shared if self.lasts else ("mutating",) if self.writes else ("readOnly",)
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


_accounts: dict[tuple[object, ...], _Account] = {}
_MOST_ACCOUNTS = 4096


def forget_accounts() -> None:
    """For tests, which make new memory for their numbers."""
    _accounts.clear()


class Record:
    """See the module's words. What is asked, by whom and about which kind is told as soon as it is known."""

    __slots__ = (
        "_account", "_allowed", "_ended", "_environ", "_find_kind", "_handled", "_length", "_started",
        "info", "kind", "spent", "user",
    )  # fmt: skip

    def __init__(self, environ: dict[str, Any], find_kind: Callable[[str, str, str], Kind | None]) -> None:
        self._environ = environ
        self._find_kind = find_kind  # by group, version and plural
        self._started = time.perf_counter()
        self._allowed = 0.0
        self._account: _Account | None = None
        self._ended = False
        self.info: RequestInfo | None = None
        self.user: User | None = None
        self.kind: Kind | None = None
        self.spent = trace.begin()

    def allowed(self) -> None:
        """It may be done, and is about to."""
        self._allowed = time.perf_counter()
        account = self._account = self._find_account()
        account.begin()
        if account.lasts and verbosity() >= WRITES:
            log.info("%s begins, for %s", self._what, self._who)

    def answered(self, response: Response) -> None:
        """The answer's head is known; its body is sent next, which for a watch may take long."""
        trace.end()
        self._handled = time.perf_counter()
        body = response.response
        self._length = sum(map(len, body)) if type(body) is list else 0
        if response is TAKEN_OVER:
            self._end(101 if "HTTP_UPGRADE" in self._environ else 200)
        else:
            response.call_on_close(partial(self._end, response.status_code))

    def _end(self, code: int) -> None:
        if self._ended:
            return
        self._ended = True
        seconds = time.perf_counter() - self._started
        account = self._account
        was_open = account is not None
        if account is None:
            account = self._find_account()
        account.end(code, seconds, self._sent, was_open=was_open)
        level = _level[0]
        if level >= ALL or (level >= WRITES and (account.lasts or account.writes)):
            log.info("%s %d, %s, %s, for %s", self._what, code, _time(seconds), _size(self._sent), self._who)
        if seconds > SLOW and not account.lasts:
            steps = ", ".join(self._trace(seconds))
            log.warning("slow: %s %d, %s, for %s: %s", self._what, code, _time(seconds), self._who, steps)

    def _trace(self, seconds: float) -> Iterator[str]:
        """What the time was spent on; what is not accounted for was spent on computing, or waiting to."""
        handling = self._handled - self._started
        parts: dict[str, list[float]] = {}
        if self._allowed:
            parts["access"] = [self._allowed - self._started]
        for name, took in self.spent:
            parts.setdefault(name, []).append(took)
        parts["computing"] = [handling - sum(map(sum, parts.values()))]
        parts["sending"] = [seconds - handling]
        for name, times in parts.items():
            yield f"{name} {_time(sum(times))}" + (f" in {len(times)} calls" if len(times) > 1 else "")

    def _find_account(self) -> _Account:
        info, environ = self.info, self._environ
        if info is None:
            return _Account(_UNKNOWN, None)
        applies = info.verb == "patch" and environ.get("CONTENT_TYPE", "").startswith("application/apply-patch")
        dry_run = "dryRun=All" in environ["QUERY_STRING"]
        key = (info.verb, info.group, info.version, info.resource, info.subresource, bool(info.name),
               bool(info.namespace), dry_run, applies, self.kind is None, info.is_resource or info.path)  # fmt: skip
        account = _accounts.get(key)
        if account is None:
            if self.kind is None and info.is_resource:
                # It was refused before it came to its kind.
                self.kind = self._find_kind(info.group, info.version, info.resource)
            account = _Account(_labels(info, self.kind, applies=applies, dry_run=dry_run), info)
            if len(_accounts) < _MOST_ACCOUNTS:
                _accounts[key] = account
        return account

    @property
    def _sent(self) -> int:
        """Bytes of the body; of a stream the web server knows how many there were."""
        if self._length or "gunicorn.response" not in self._environ:
            return self._length
        return int(self._environ["gunicorn.response"].sent)

    @property
    def _what(self) -> str:
        """``GET /api/v1/nodes``."""
        uri = str(self._environ.get("RAW_URI") or self._environ["PATH_INFO"])
        if self.info is not None and self.info.subresource in _CONNECT:
            uri = uri.partition("?")[0]
        if len(uri) > _LONGEST_URI:
            uri = uri[:_LONGEST_URI] + "…"
        return f"{self._environ['REQUEST_METHOD']} {uri}"

    @property
    def _who(self) -> str:
        """``admin with kubectl/v1.32.0``."""
        name = self.user.name if self.user is not None else "an unknown user"
        agent = self._environ.get("HTTP_USER_AGENT", "").split(" ", 1)[0]
        return f"{name} with {agent[:_LONGEST_URI]}" if agent else name


_UNKNOWN = ("other", "", "", "", "", "", "", "")


def _labels(info: RequestInfo, kind: Kind | None, *, applies: bool, dry_run: bool) -> Labels:
    """verb, dry_run, group, version, resource, subresource, scope, component; nothing that a client makes up."""
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
