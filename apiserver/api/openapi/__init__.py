"""OpenAPI documents, made from the registry's rows and upstream's definitions.

``/openapi/v2`` is one document, as JSON or protobuf. ``/openapi/v3`` is an index of documents, one a group version.

A document is made when it is first requested, and then kept as bytes. What it was made from is not kept.

    operations.py     rows → paths, operations and parameters
    definitions.py    the definitions that a set of rows needs, in the forms of v2 and v3
    document_v2.py    the document for kubectl before 1.27
    document_v3.py    the documents for kubectl since 1.27
    protobuf.py       v2 as gnostic's messages, for kubectl before 1.24
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

import orjson

from apiserver.api.negotiation import JSON, negotiate, not_acceptable
from apiserver.api.openapi.definitions import group_versions
from apiserver.model.kind import Kind
from machinery.errors import no_such_resource

if TYPE_CHECKING:
    from apiserver.api.openapi.document_v2 import Section

V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
# The names under which clients ask for it, older one first.
V2_PROTOBUF_TYPES = ("application/com.github.proto-openapi.spec.v2@v1.0+protobuf", V2_PROTOBUF)


class Document(NamedTuple):
    """A document's bytes and their hash, in upper-case hexadecimal."""

    body: bytes
    etag: str


def _document(content: bytes) -> Document:
    return Document(content, hashlib.sha512(content).hexdigest().upper())


class Rows(Protocol):
    """The part of the registry that this package uses."""

    def kinds(self) -> tuple[Kind, ...]:
        """Return every row."""


def answer(registry: Rows, path: str, accept: str) -> tuple[str, Document]:
    """Return content type and document for a path under ``/openapi``; raises NotFound or NotAcceptable."""
    if path == "/openapi/v2":
        media_type = negotiate(accept, accepted=(JSON, *V2_PROTOBUF_TYPES)).media_type
        # The answer always has the newer name, because the older one is not a valid media type.
        return (JSON, v2(registry)) if media_type == JSON else (V2_PROTOBUF, v2_protobuf(registry))
    if not path.startswith("/openapi/v3"):
        raise no_such_resource()
    if negotiate(accept, accepted=(JSON,)).media_type != JSON:
        raise not_acceptable((JSON,))
    name = path.removeprefix("/openapi/v3").strip("/")
    return JSON, v3(registry, name) if name else v3_index(registry)


def v2(registry: Rows) -> Document:
    """Return ``/openapi/v2`` as JSON."""
    return _v2(registry.kinds())


def v2_protobuf(registry: Rows) -> Document:
    """Return ``/openapi/v2`` as a gnostic message."""
    return _v2_protobuf(registry.kinds())


def v3_index(registry: Rows) -> Document:
    """Return ``/openapi/v3``: each document's URL with its hash, so that clients only read those that have changed."""
    return _v3_index(registry.kinds())


def v3(registry: Rows, name: str) -> Document:
    """Return one document, e.g. ``api/v1`` or ``apis/apps/v1``; raises NotFound."""
    return _v3(registry.kinds(), name)


# The caches' keys are the rows, so a registry that changes gets new documents.
@lru_cache(maxsize=2)
def _v2(kinds: tuple[Kind, ...]) -> Document:
    from apiserver.api.openapi.document_v2 import document, section

    built_in, custom = _divided(kinds)
    return _document(document([_built_in_section(built_in), section(custom)]))


@lru_cache(maxsize=2)
def _built_in_section(kinds: tuple[Kind, ...]) -> Section:
    from apiserver.api.openapi.document_v2 import section

    return section(kinds)


@lru_cache(maxsize=2)
def _v2_protobuf(kinds: tuple[Kind, ...]) -> Document:
    from apiserver.api.openapi.document_v2 import contents
    from apiserver.api.openapi.protobuf import serialize

    built_in, custom = _divided(kinds)
    # In protobuf, two messages one after the other are one message with the fields of both.
    return _document(_built_in_message(built_in) + (serialize(contents(custom)) if custom else b""))


@lru_cache(maxsize=2)
def _built_in_message(kinds: tuple[Kind, ...]) -> bytes:
    from apiserver.api.openapi.document_v2 import contents
    from apiserver.api.openapi.protobuf import serialize

    return serialize(contents(kinds))


def _divided(kinds: tuple[Kind, ...]) -> tuple[tuple[Kind, ...], tuple[Kind, ...]]:
    return tuple(kind for kind in kinds if not kind.codec.dynamic), tuple(kind for kind in kinds if kind.codec.dynamic)


@lru_cache(maxsize=2)
def _v3_index(kinds: tuple[Kind, ...]) -> Document:
    paths = {
        name: {"serverRelativeURL": f"/openapi/v3/{name}?hash={_v3(kinds, name).etag}"}
        for name in group_versions(kinds)
    }
    return _document(orjson.dumps({"paths": paths}))


def _v3(kinds: tuple[Kind, ...], name: str) -> Document:
    group_version = group_versions(kinds).get(name)
    if group_version is None:
        raise no_such_resource()
    # The key has only this group's rows, so changes of other groups leave the document as it is.
    return _v3_of(tuple(kind for kind in kinds if kind.group == group_version[0]), *group_version)


@lru_cache(maxsize=64)
def _v3_of(kinds: tuple[Kind, ...], group: str, version: str) -> Document:
    from apiserver.api.openapi.document_v3 import document

    return _document(orjson.dumps(document(kinds, group, version)))
