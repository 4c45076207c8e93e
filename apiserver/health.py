"""``/livez``, ``/readyz`` and ``/healthz`` with upstream's output, and each check at its own path below them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from flask import Response

from apiserver.store.protocol import Unavailable
from machinery.errors import no_such_resource

if TYPE_CHECKING:
    from apiserver.assembly import Server

Check = Callable[[], bool]


class Health:
    """Alive is who answers; ready is whose store answers and whose cache is filled."""

    def __init__(self, server: Server) -> None:
        self._server = server
        ping: dict[str, Check] = {"ping": lambda: True}
        store: dict[str, Check] = {"etcd": self._store_answers}
        cache: dict[str, Check] = {"informer-sync": lambda: server.cache.revision > 0 and not server.cache.stopping}
        ready = {**ping, **store, **cache, "poststarthook/bootstrap": server.bootstrapped.is_set}
        self._checks: dict[str, dict[str, Check]] = {"livez": ping, "healthz": {**ping, **store}, "readyz": ready}

    def answer(self, endpoint: str, check: str, query: Mapping[str, str]) -> Response:
        """``ok``, or a line for each check when one fails or the client wants to see them (``?verbose``)."""
        checks = self._checks[endpoint]
        if check:
            if check not in checks:
                raise no_such_resource()
            checks = {check: checks[check]}
        excluded = query.get("exclude", "")
        results = {name: run() for name, run in checks.items() if name != excluded}
        lines = [f"[+]{name} ok" if fine else f"[-]{name} failed: reason withheld" for name, fine in results.items()]
        if all(results.values()):
            text = "\n".join([*lines, f"{endpoint} check passed", ""]) if "verbose" in query else "ok"
            return Response(text, 200, content_type="text/plain; charset=utf-8")
        return Response(
            "\n".join([*lines, f"{endpoint} check failed", ""]), 500, content_type="text/plain; charset=utf-8"
        )

    def _store_answers(self) -> bool:
        try:
            self._server.store.revision()
        except Unavailable:
            return False
        return True
