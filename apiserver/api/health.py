"""``/livez``, ``/readyz`` and ``/healthz`` with upstream's output, and each check at its own path below them.

A server is alive if its store answers, lines can be written to its log, and its own objects have been created. It is
ready if, besides, its cache is filled and it is not about to stop. The reason of a failure is only told at the path of
the check itself, which not everybody may see.
Upstream: apiserver/pkg/server/healthz.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from flask import Response

from apiserver.model import query as parameters
from apiserver.model.metrics import HEALTH, HEALTH_CHECKS
from apiserver.storage.cache import WatchCache
from apiserver.storage.protocol import Store, StoreError
from machinery.errors import no_such_resource, quote

log = logging.getLogger(__name__)

# Seconds that a line may wait for the log before the check of the log fails.
LOG_SECONDS = 1.0

# Returns why the check fails; "" if all is well.
Check = Callable[[], str]
_HEADERS = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}


def is_health_check(path: str) -> bool:
    """Return True for the paths that ``HealthChecks`` answers."""
    return path.strip("/").partition("/")[0] in ("healthz", "livez", "readyz")


class HealthChecks:
    """The checks of this worker process."""

    def __init__(self, store: Store, cache: WatchCache, bootstrapped: threading.Event) -> None:
        self._store = store
        self._cache = cache
        alive: dict[str, Check] = {"ping": lambda: "", "log": log_problem, "etcd": self._store_problem}
        # Upstream's names for what control/bootstrap.py does.
        hooks: dict[str, Check] = {
            f"poststarthook/{name}": lambda: "" if bootstrapped.is_set() else "not finished"
            for name in ("bootstrap-controller", "rbac/bootstrap-roles", "scheduling/bootstrap-system-priority-classes")
        }
        ready = {**alive, "etcd-readiness": self._store_problem, "informer-sync": self._cache_problem, **hooks}
        ready["shutdown"] = lambda: "process is shutting down" if cache.stopping else ""
        alive |= hooks
        self._checks: dict[str, dict[str, Check]] = {"livez": alive, "healthz": alive, "readyz": ready}

    @property
    def paths(self) -> list[str]:
        """Return every path that is served."""
        return [f"/{root}{name}" for root, checks in self._checks.items() for name in ("", *(f"/{c}" for c in checks))]

    def answer(self, endpoint: str, check: str, query: str) -> Response:
        """Answer ``/endpoint[/check]?query``. Raises NotFound for a check that does not exist."""
        checks = self._checks[endpoint]
        if check:
            return _answer_one(checks, check)
        excluded = set(parameters.values(query, "exclude"))
        lines, failures = [], []
        for name, run in checks.items():
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
                continue
            problem = run()
            HEALTH.set(0 if problem else 1, (name, endpoint))
            HEALTH_CHECKS.add((name, endpoint, "error" if problem else "success"))
            lines.append(f"[-]{name} failed: reason withheld" if problem else f"[+]{name} ok")
            if problem:
                failures.append(f"{name}: {problem}")
        if unknown := excluded - checks.keys():
            listed = ",".join(map(quote, sorted(unknown)))
            lines.append(f"warn: some health checks cannot be excluded: no matches for {listed}")
        if failures:
            log.info("%s check failed: %s", endpoint, "; ".join(failures))
            return Response("\n".join([*lines, f"{endpoint} check failed", ""]), 500, _HEADERS)
        verbose = parameters.values(query, "verbose")
        return Response("\n".join([*lines, f"{endpoint} check passed", ""]) if verbose else "ok", 200, _HEADERS)

    def _store_problem(self) -> str:
        try:
            self._store.revision()
        except StoreError as error:
            return str(error)
        return ""

    def _cache_problem(self) -> str:
        return "" if self._cache.revision else "the objects have not been read from the store yet"


def _answer_one(checks: Mapping[str, Check], name: str) -> Response:
    if name not in checks:
        raise no_such_resource()
    problem = checks[name]()
    if problem:
        return Response(f"internal server error: {problem}\n", 500, _HEADERS)
    return Response("ok", 200, _HEADERS)


def log_problem() -> str:
    """Check whether a line can be logged: who writes one holds the handler's lock, for ever if the output is stuck."""
    for handler in logging.getLogger().handlers:
        lock = handler.lock
        if lock is not None and not lock.acquire(timeout=LOG_SECONDS):
            return "logging blocked"
        handler.release()
    return ""
