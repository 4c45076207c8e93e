"""A list as a body: its items joined as bytes, or as an object where another form is asked for."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from apiserver.model.kind import Kind
from apiserver.registry.read import ListResult
from machinery.objects import Object


def list_body(kind: Kind, api_version: str, result: ListResult) -> bytes:
    """Return the list as JSON, joined from the items' bytes."""
    identity, metadata = (kind.list_kind.encode(), api_version.encode()), orjson.dumps(result.metadata)
    head = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (*identity, metadata)
    if not kind.codec.typed or not result.items:
        return b"".join((head, b",".join([item.data for item in result.items]), b"]}\n"))
    # Items of built-in kinds do not name their kind. ``encode`` has put it first, so it can be cut off; slices of a
    # memoryview copy nothing before the bytes are joined.
    named = len(b'{"kind":"%b","apiVersion":"%b",' % (kind.kind.encode(), kind.api_version.encode()))
    return b"".join((head, b"{", b",{".join([memoryview(item.data)[named:] for item in result.items]), b"]}\n"))


def list_object(kind: Kind, api_version: str, objects: Iterable[Object], metadata: Object) -> Object:
    """Return the list as an object. As upstream's, items of built-in kinds do not name their kind."""
    items = [_without_identity(obj) for obj in objects] if kind.codec.typed else list(objects)
    return {"kind": kind.list_kind, "apiVersion": api_version, "metadata": metadata, "items": items}


def _without_identity(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
