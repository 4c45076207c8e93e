"""Paths that are not about resources: discovery, OpenAPI, version, health, metrics. Documents are kept as bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson
from flask import Response

from apiserver.api import discovery, negotiation, scrape
from apiserver.api.body import read_body
from apiserver.api.health import HealthChecks
from apiserver.api.negotiation import AGGREGATED_DISCOVERY, Form
from apiserver.api.requestlog import set_verbosity
from apiserver.kinds.registry import Registry
from apiserver.model.requestinfo import RequestInfo
from apiserver.registry.served import ServedKinds
from machinery.digits import is_number
from machinery.errors import method_not_allowed, no_such_resource, quote

# What answers a GET of one path.
Document = Callable[[], Response]


class Documents:
    """Answers GET on these paths, and PUT on ``/debug/flags/v``, the one flag that can be changed at run time."""

    def __init__(self, served: ServedKinds, health: HealthChecks, others: Mapping[str, Document], address: str) -> None:
        """``others`` are answered by features; ``address`` is host:port, which ``/api`` tells clients as our own."""
        self._served = served
        self._health = health
        self._others = others
        self._address = address

    def answer(self, info: RequestInfo, environ: Mapping[str, Any], query: Mapping[str, str]) -> Response:
        """Answer a request. Raises NotFound for a path that is not served, and MethodNotAllowed."""
        path = info.path.rstrip("/") or "/"
        if path == "/debug/flags/v":
            return _verbosity(info.verb, read_body(environ))
        find = self._find(path)
        if info.verb not in ("get", "head"):
            raise method_not_allowed()
        return find(environ, query)

    def _find(self, path: str) -> Callable[[Mapping[str, Any], Mapping[str, str]], Response]:
        root, *parts = path.strip("/").split("/")
        if root in ("healthz", "livez", "readyz"):
            return lambda environ, query: self._health.answer(root, "/".join(parts), environ["QUERY_STRING"])
        if root == "metrics":
            return lambda environ, query: scrape.answer("/".join(parts))
        if path == "/version":
            return lambda environ, query: _json(orjson.dumps(discovery.VERSION))
        if root == "openapi":
            return lambda environ, query: _openapi(self._served.registry(), path, environ, query)
        if path == "/":
            paths = [*_paths(self._served.registry()), *self._health.paths, *self._others]
            return lambda environ, query: _json(orjson.dumps({"paths": sorted(paths)}))
        if document := self._others.get(path):
            return lambda environ, query: document()
        if root in ("api", "apis"):
            return lambda environ, query: self._discovery(root, parts, environ, query)
        raise no_such_resource()

    def _discovery(self, root: str, parts: list[str], environ: Mapping[str, Any], query: Mapping[str, str]) -> Response:
        transforms = negotiation.NONE if parts else AGGREGATED_DISCOVERY
        form = negotiation.form_of(environ, query, transforms)
        body = self._document(self._served.registry(), root, tuple(parts), form)
        if form.transform is None:
            return Response(body, 200, {"Content-Type": form.content_type, "Vary": "Accept"})
        etag = hashlib.sha256(body).hexdigest().upper()
        return _conditional(environ, body, form.content_type, etag, "public")

    @lru_cache(maxsize=256)  # noqa: B019 - one instance a process
    def _document(self, registry: Registry, root: str, parts: tuple[str, ...], form: Form) -> bytes:
        kinds, found = registry.kinds(), None
        if form.transform is not None:
            found = discovery.aggregated(kinds, core=root == "api", version=form.transform.version)
        elif not parts:
            found = discovery.core_versions(self._address) if root == "api" else discovery.group_list(kinds)
        elif root == "api" and len(parts) == 1:
            found = discovery.resource_list(kinds, "", parts[0])
        elif root == "apis" and len(parts) == 1:
            found = discovery.group(kinds, parts[0])
        elif root == "apis" and len(parts) == 2:
            found = discovery.resource_list(kinds, *parts)
        if found is None:
            raise no_such_resource()
        return negotiation.encode(found, form)


def _verbosity(verb: str, body: bytes) -> Response:
    """Serve upstream's ``/debug/flags/v``: set how much all workers log from now on."""
    headers = {"Content-Type": "text/plain", "X-Content-Type-Options": "nosniff"}
    if verb != "put":
        return Response("unsupported http method", 406, headers)
    text = body.decode(errors="replace").strip()
    if not is_number(text):
        why = f"failed set klog.logging.verbosity {text}: strconv.ParseInt: parsing {quote(text)}: invalid syntax"
        return Response(why, 400, headers)
    set_verbosity(int(text))
    return Response(f"successfully set klog.logging.verbosity to {text}", 200, headers)


def _openapi(registry: Registry, path: str, environ: Mapping[str, Any], query: Mapping[str, str]) -> Response:
    """Return an OpenAPI document. One asked for by its hash may be cached for ever; an outdated hash redirects."""
    from apiserver.api import openapi

    content_type, document = openapi.answer(registry, path, environ.get("HTTP_ACCEPT", ""))
    wanted = query.get("hash") if path.startswith("/openapi/v3/") else None
    if wanted and wanted != document.etag:
        return Response(status=301, headers={"Location": f"{path}?hash={document.etag}"})
    answer = _conditional(environ, document.body, content_type, document.etag, "public, immutable" if wanted else "")
    if wanted:
        answer.expires = datetime.now(UTC) + timedelta(days=365)
    return answer


def _conditional(environ: Mapping[str, Any], body: bytes, content_type: str, etag: str, cache_control: str) -> Response:
    """Return the body, or 304 for a client that has it already."""
    answer = Response(body, 200, {"Content-Type": content_type, "Vary": "Accept"})
    answer.set_etag(etag)
    if cache_control:
        answer.headers["Cache-Control"] = cache_control
    answer.make_conditional(dict(environ))
    answer.headers.pop("Date", None)  # the server itself writes one
    return answer


def _paths(registry: Registry) -> list[str]:
    served = discovery.groups(registry.kinds())
    groups = [f"/apis/{name}" for name in served if name]
    versions = [f"/apis/{name}/{version}" for name, all_ in served.items() if name for version in all_]
    others = ["/api", "/api/v1", "/apis", "/metrics", "/metrics/slis", "/openapi/v2", "/openapi/v3", "/version"]
    return [*groups, *versions, *others]


def _json(body: bytes) -> Response:
    return Response(body, 200, content_type="application/json")
