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
import zlib
from collections.abc import Callable, Iterable, Iterator
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


# The caches' keys are the rows, so a registry that changes gets new documents. There may be hundreds of custom kinds,
# of which one changes at a time: what each adds to the document of v2 is kept, and hashes are made without a document.
@lru_cache(maxsize=1)
def _v2(kinds: tuple[Kind, ...]) -> Document:
    from apiserver.api.openapi.document_v2 import document

    built_in, custom = _divided(kinds)
    own = _built_in_section(built_in)
    body = document([own, *_CUSTOM_SECTIONS.of(custom)])
    return Document(body, _etag(own.paths, own.definitions, custom))


@lru_cache(maxsize=2)
def _built_in_section(kinds: tuple[Kind, ...]) -> Section:
    from apiserver.api.openapi.document_v2 import section

    return section(kinds)


def _custom_section(kind: Kind) -> Section:
    from apiserver.api.openapi.document_v2 import section

    return section((kind,))


@lru_cache(maxsize=1)
def _v2_protobuf(kinds: tuple[Kind, ...]) -> Document:
    built_in, custom = _divided(kinds)
    own = _built_in_message(built_in)
    # In protobuf, two messages one after the other are one message with the fields of both.
    return Document(b"".join([own, *(message for (message,) in _CUSTOM_MESSAGES.of(custom))]), _etag(own, custom))


@lru_cache(maxsize=2)
def _built_in_message(kinds: tuple[Kind, ...]) -> bytes:
    from apiserver.api.openapi.document_v2 import contents
    from apiserver.api.openapi.protobuf import serialize

    return serialize(contents(kinds))


def _custom_message(kind: Kind) -> tuple[bytes]:
    from apiserver.api.openapi.document_v2 import contents
    from apiserver.api.openapi.protobuf import serialize

    return (serialize(contents((kind,))),)


def _divided(kinds: tuple[Kind, ...]) -> tuple[tuple[Kind, ...], tuple[Kind, ...]]:
    return tuple(kind for kind in kinds if not kind.codec.dynamic), tuple(kind for kind in kinds if kind.codec.dynamic)


class _Parts:
    """What each custom kind adds to a document: some bytes, made once for each row, and kept compressed."""

    def __init__(self, make: Callable[[Kind], Iterable[bytes]]) -> None:
        self._make = make
        self._known: dict[Kind, tuple[bytes, ...]] = {}

    def of(self, kinds: Iterable[Kind]) -> Iterator[tuple[bytes, ...]]:
        """Yield the parts of these rows; those of others are forgotten."""
        known = self._known
        self._known = {
            kind: known.get(kind) or tuple(zlib.compress(part, 1) for part in self._make(kind)) for kind in kinds
        }
        for parts in self._known.values():
            yield tuple(map(zlib.decompress, parts))


_CUSTOM_SECTIONS, _CUSTOM_MESSAGES = _Parts(_custom_section), _Parts(_custom_message)


@lru_cache(maxsize=2)
def _v3_index(kinds: tuple[Kind, ...]) -> Document:
    groups: dict[str, list[Kind]] = {}
    for kind in kinds:
        groups.setdefault(kind.group, []).append(kind)
    paths = {
        name: {"serverRelativeURL": f"/openapi/v3/{name}?hash={_v3_etag(tuple(groups[group]), group, version)}"}
        for name, (group, version) in group_versions(kinds).items()
    }
    return _document(orjson.dumps({"paths": paths}))


def _v3(kinds: tuple[Kind, ...], name: str) -> Document:
    group_version = group_versions(kinds).get(name)
    if group_version is None:
        raise no_such_resource()
    # The key has only this group's rows, so changes of other groups leave the document as it is.
    group = tuple(kind for kind in kinds if kind.group == group_version[0])
    make = _custom_v3 if group[0].codec.dynamic else _built_in_v3
    return make(group, *group_version)


def _v3_etag(kinds: tuple[Kind, ...], group: str, version: str) -> str:
    """Return the hash of a document."""
    if kinds[0].codec.dynamic:
        return _etag(f"{group}/{version}".encode(), kinds)
    return _built_in_v3(kinds, group, version).etag


@lru_cache(maxsize=64)
def _built_in_v3(kinds: tuple[Kind, ...], group: str, version: str) -> Document:
    from apiserver.api.openapi.document_v3 import document

    return _document(orjson.dumps(document(kinds, group, version)))


@lru_cache(maxsize=16)
def _custom_v3(kinds: tuple[Kind, ...], group: str, version: str) -> Document:
    from apiserver.api.openapi.document_v3 import document

    return Document(orjson.dumps(document(kinds, group, version)), _v3_etag(kinds, group, version))


def _etag(*parts: bytes | tuple[Kind, ...]) -> str:
    """Return a hash of some bytes, and of what determines the content of custom kinds."""
    digest = hashlib.sha512()
    for part in parts:
        texts = (
            [part] if isinstance(part, bytes) else [f"{kind.version}/{kind.codec.identity} ".encode() for kind in part]
        )
        for text in texts:
            digest.update(text)
    return digest.hexdigest().upper()
