"""Answers: one object, a list, or an event of a watch, in the version and form that the client accepts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import orjson
from flask import Response

from apiserver.api import negotiation, tables
from apiserver.api.negotiation import OBJECTS, PROTOBUF, Form, form_of
from apiserver.model.item import Item
from apiserver.model.kind import Kind
from apiserver.registry import options
from apiserver.registry.call import Call
from apiserver.registry.read import ListResult
from apiserver.schema import protobuf
from machinery.objects import Object

# Bytes of a list above which it is sent in pieces, and of a piece, at least.
LONG_LIST, LIST_PIECE = 1 << 20, 1 << 18


def respond(body: bytes, code: int = 200, *, form: Form | None = None) -> Response:
    """Return a finished answer; without a form its body is JSON."""
    return Response(body, code, content_type=form.content_type if form else "application/json")


def single_form(call: Call) -> Form:
    """Return the form for an answer that is one object; raises NotAcceptable."""
    return negotiation.single_form(_form(call), call.kind.go_type)


def list_form(call: Call) -> Form:
    """Return the form for an answer that is a list; raises NotAcceptable."""
    return negotiation.list_form(_form(call), call.kind.go_type)


def stream_form(call: Call) -> Form:
    """Return the form for a watch's objects; raises NotAcceptable."""
    return negotiation.stream_form(_form(call, watch=True), call.kind.go_type)


def _form(call: Call, *, watch: bool = False) -> Form:
    environ, custom = call.environ, not call.kind.codec.typed
    if not watch:
        return form_of(environ, call.query, OBJECTS, custom=custom)
    accept = environ.get("HTTP_ACCEPT", "").replace(";stream=watch", "")
    return form_of(environ, {"pretty": "0"}, OBJECTS, accept, custom=custom)


def is_plain(call: Call, form: Form) -> bool:
    """Return whether the stored bytes are the answer as they are."""
    return (
        form.transform is None
        and not form.pretty
        and form.media_type == negotiation.JSON
        and _is_stored_version(call)
        and "pretty" not in call.query
    )


def _is_stored_version(call: Call) -> bool:
    return call.version == call.kind.version and call.kind.stored_as is None


def respond_item(call: Call, item: Item, form: Form, code: int = 200) -> Response:
    """Answer with one object."""
    if is_plain(call, form):
        return respond(item.data + b"\n", code)
    if _is_stored_in(call, form):
        return respond(
            protobuf.enclose(call.kind.api_version, call.kind.kind, item.message(protobuf.write)), code, form=form
        )
    obj = in_form(call, call.kind, in_version(call, item.object), form)
    return respond(negotiation.encode(obj, form), code, form=form)


def respond_list(call: Call, result: ListResult, form: Form) -> Response:
    """Answer with a list."""
    if is_plain(call, form):
        return _in_pieces(list_body(call.kind, call.kind.api_version, result), form)
    if _is_stored_in(call, form):
        return _in_pieces(_list_in_protobuf(call.kind, result), form)
    return respond(negotiation.encode(_list(call, result, form), form), form=form)


def _in_pieces(body: tuple[int, Iterable[bytes]], form: Form) -> Response:
    length, pieces = body
    return Response(pieces, 200, {"Content-Length": str(length)}, content_type=form.content_type)


def _is_stored_in(call: Call, form: Form) -> bool:
    """Return whether the stored objects are the answer, written in protobuf, which their items keep."""
    return form.media_type == PROTOBUF and form.transform is None and _is_stored_version(call)


def _list(call: Call, result: ListResult, form: Form) -> Object:
    kind, objects = call.kind, [in_version(call, item.object) for item in result.items]
    if form.transform is None:
        return list_object(kind, _api_version(call), objects, result.metadata)
    version = form.transform.version
    if form.is_table:
        return tables.render(kind, objects, result.metadata, version, options.check_table(call.query))
    return tables.partial_metadata_list(objects, result.metadata, version)


def list_body(kind: Kind, api_version: str, result: ListResult) -> tuple[int, Iterable[bytes]]:
    """Return the list as JSON, joined from the items' bytes: its length, and its pieces.

    Of a long list each piece is joined when it is sent. So a client that reads slowly, or not at all, makes the server
    hold one piece, and not another copy of the list.
    """
    identity, metadata = (kind.list_kind.encode(), api_version.encode()), orjson.dumps(result.metadata)
    head = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (*identity, metadata)
    if not kind.codec.typed or not result.items:
        return _joined(head, b",", [item.data for item in result.items], _LIST_TAIL)
    # Items of built-in kinds do not name their kind. ``encode`` has put it first, so it can be cut off; slices of a
    # memoryview copy nothing before the bytes are joined.
    named = len(b'{"kind":"%b","apiVersion":"%b",' % (kind.kind.encode(), kind.api_version.encode()))
    return _joined(head + b"{", b",{", [memoryview(item.data)[named:] for item in result.items], _LIST_TAIL)


def _list_in_protobuf(kind: Kind, result: ListResult) -> tuple[int, Iterable[bytes]]:
    messages = [item.message(protobuf.write) for item in result.items]
    head, items, tail = protobuf.list_parts(kind.api_version, kind.list_kind, result.metadata, messages)
    return _joined(head, b"", items, tail)


_LIST_TAIL = b"]}\n"


def _joined(
    head: bytes, separator: bytes, items: Sequence[bytes | memoryview], tail: bytes
) -> tuple[int, Iterable[bytes]]:
    length = len(head) + sum(map(len, items)) + len(separator) * max(0, len(items) - 1) + len(tail)
    if length <= LONG_LIST:
        return length, (b"".join((head, separator.join(items), tail)),)
    return length, _pieces(head, separator, items, tail)


def _pieces(head: bytes, separator: bytes, items: Sequence[bytes | memoryview], tail: bytes) -> Iterator[bytes]:
    parts: list[bytes | memoryview] = [head]
    size = 0
    for number, item in enumerate(items):
        parts += [separator, item] if number else [item]
        size += len(item)
        if size >= LIST_PIECE:
            yield b"".join(parts)
            parts, size = [], 0
    yield b"".join([*parts, tail])


def list_object(kind: Kind, api_version: str, objects: Iterable[Object], metadata: Object) -> Object:
    """Return the list as an object. As upstream's, items of built-in kinds do not name their kind."""
    left_out = ("kind", "apiVersion") if kind.codec.typed else ()
    items = [{key: value for key, value in obj.items() if key not in left_out} for obj in objects]
    return {"kind": kind.list_kind, "apiVersion": api_version, "metadata": metadata, "items": items}


def event_renderer(call: Call, form: Form) -> Callable[[Object], Object] | None:
    """Return what a watch's objects go through before they are sent; None if they are sent as they are.

    Only the first event of a Table carries the columns. Raises BadRequest before the watch begins.
    """
    if is_plain(call, form) or _is_stored_in(call, form):
        return None
    first = True
    options.check_table(call.query)

    def render(obj: Object) -> Object:
        nonlocal first
        shown = in_form(call, call.kind, in_version(call, obj), form, headers=first)
        first = False
        return shown

    return render


def in_form(call: Call, kind: Kind, obj: Object, form: Form, *, headers: bool = True) -> Object:
    """Return one object of the kind as itself, as its metadata, or as a Table with one row."""
    if form.transform is None:
        return obj
    version = form.transform.version
    if not form.is_table:
        return tables.partial_metadata(obj, version)
    meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
    return tables.render(kind, [obj], meta, version, options.check_table(call.query), headers=headers)


def in_version(call: Call, obj: Object) -> Object:
    """Return an object in the version that the client asked for; a copy, unless that is the stored one."""
    kind = call.kind
    if _is_stored_version(call):
        return obj
    converted: Object = orjson.loads(orjson.dumps(obj))
    if kind.convert is not None:
        kind.convert(converted, call.version, False)
    converted["apiVersion"] = _api_version(call)
    return converted


def _api_version(call: Call) -> str:
    return f"{call.kind.group}/{call.version}" if call.kind.group else call.version


def deleted_status(call: Call, item: Item) -> Object:
    """Return the Status that answers a deletion after which the object is gone."""
    kind = call.kind.stored_as or call.kind
    details = {"name": call.name, "group": kind.group, "kind": kind.plural}
    details["uid"] = item.object["metadata"].get("uid", "")
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }
