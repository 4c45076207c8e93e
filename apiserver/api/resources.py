"""Resource requests as HTTP: from a body to an object, through a verb, and to the answer that the client accepts.

What a verb does stands in ``registry/`` and ``watchstream.py``; how an answer looks, in ``rendering.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache

from flask import Response

from apiserver import patch
from apiserver.api import negotiation
from apiserver.api.actions import RestActions
from apiserver.api.negotiation import OBJECTS, Form, form_of
from apiserver.api.rendering import (
    deleted_status,
    event_renderer,
    in_form,
    in_version,
    list_form,
    respond,
    respond_item,
    respond_list,
    single_form,
    stream_form,
)
from apiserver.api.reviews import Review
from apiserver.api.watchframes import LINES, Shape, frames
from apiserver.api.watchstream import WatchStream
from apiserver.kinds.unsupported import why_no_subresource
from apiserver.model import metadata
from apiserver.model import query as parameters
from apiserver.model.exchange import WATCH
from apiserver.model.item import Item
from apiserver.model.kind import Kind, Subresource
from apiserver.model.patchtypes import APPLY_PATCH
from apiserver.registry import deletion, options
from apiserver.registry.apply import applying
from apiserver.registry.call import Call
from apiserver.registry.listoptions import parse_list_options, resource_version
from apiserver.registry.read import ListResult, Reading
from apiserver.registry.rest import Rest
from apiserver.registry.scale import through_view
from apiserver.schema import protobuf
from apiserver.schema.codec import UpstreamCodec
from apiserver.storage.cache import WatchCache
from apiserver.streaming import websockets
from machinery.errors import BadRequest, NotFound, method_not_allowed, no_such_resource
from machinery.objects import Object

Handler = Callable[[Call], Response]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_DELETE_OPTIONS = Kind("", "v1", "DeleteOptions", "deleteoptions", UpstreamCodec(f"{_META}.DeleteOptions"))


class Resources:
    """Serves resource requests. Errors are raised as ApiErrors, and answered by the app."""

    def __init__(
        self,
        rest: Rest,
        read: Reading,
        cache: WatchCache,
        handlers: Mapping[Subresource, Handler],
        reviews: Mapping[str, Review],
        after_create: Mapping[str, Callable[[Item], Item]],
    ) -> None:
        self._rest = rest
        self._read = read
        self._cache = cache
        self._handlers = handlers  # what serves the rows that have a handler
        self._reviews = reviews  # resource → what answers a POST of it, of which nothing is stored
        self._after_create = after_create  # resource → what completes a new object before a client sees it
        self._verbs: dict[str, Handler] = {
            "get": self._get,
            "list": self._list,
            "watch": self._watch,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }

    def serve(self, call: Call) -> Response:
        """Answer one request; raises ApiError."""
        kind = call.kind
        if kind.deprecated:
            call.warnings.append(kind.deprecated)
        options.check_write(call.verb, call.query, call.environ["QUERY_STRING"], call.content_type)
        if call.subresource:
            return self._serve_subresource(call)
        _check_path(call)
        return self._verbs[call.verb](call)

    # --- the verbs -----------------------------------------------------------------------------------------------

    def _get(self, call: Call) -> Response:
        form = single_form(call)
        item = self._read.get(call.kind, call.namespace, call.name, resource_version(call.query))
        return respond_item(call, item, form)

    def _list(self, call: Call) -> Response:
        form = list_form(call)
        wanted = parse_list_options(call.kind, call.query, call.visible)
        return respond_list(call, self._read.list(call.kind, call.namespace, wanted), form)

    def _watch(self, call: Call) -> Response:
        query = dict(call.query)
        if call.name:  # of the old path /watch/…/name
            query["fieldSelector"] = query.get("fieldSelector") or f"metadata.name={call.name}"
        form = stream_form(call)
        wanted = parse_list_options(call.kind, query, call.visible, watch=True)
        if call.name and wanted.selection.fields.exact("metadata.name") != call.name:
            raise BadRequest("fieldSelector metadata.name doesn't match requested name")
        in_protobuf = form.media_type == negotiation.PROTOBUF
        framing = frames(call.kind.api_version, call.kind.kind) if in_protobuf else LINES
        shape = Shape(event_renderer(call, form), framing)
        if websockets.is_wanted(call.environ):
            client = websockets.WatchSocket(call.environ)
            stream = WatchStream(self._cache, call.kind, call.namespace, wanted, client, shape)
            return client.carry(stream, framing.messages, text=not in_protobuf)
        stream = WatchStream(self._cache, call.kind, call.namespace, wanted, None, shape)
        if not call.kind.codec.calls_out:
            call.environ[WATCH] = stream  # for the worker's pump, which nothing may hold up
        headers = {"Content-Type": framing.content_type, "Cache-Control": "no-cache, private"}
        return Response(stream, 200, headers)

    def _create(self, call: Call) -> Response:
        review = self._reviews.get(call.kind.resource)
        if review is not None:
            return self._answer(call, review)
        form = single_form(call)
        obj = _decode(call, call.kind)
        item = self._rest.create(replace(call.write, name=obj["metadata"].get("name") or ""), obj)
        return respond_item(call, self._completed(call, item), form, 201)

    def _answer(self, call: Call, review: Review) -> Response:
        form = form_of(call.environ, call.query)  # not of OBJECTS: what is stored nowhere has no row in a Table
        obj = _decode(call, call.kind)
        metadata.place(call.kind, call.namespace, obj)
        return respond(negotiation.encode(review(call, obj), form), 201, form=form)

    def _update(self, call: Call) -> Response:
        form = single_form(call)
        item, created = self._rest.update(call.write, _decode(call, call.kind))
        return respond_item(call, item, form, 201 if created else 200)

    def _patch(self, call: Call) -> Response:
        form = single_form(call)
        # A patch of a form that is not accepted is refused even where there is nothing to patch.
        content_type = patch.accepted_type(call.content_type, call.kind)
        if content_type == APPLY_PATCH:
            return self._apply(call, form)
        return respond_item(call, self._rest.modify(call.write, _patching(call, content_type)), form)

    def _apply(self, call: Call, form: Form) -> Response:
        """Serve a server-side apply, which creates what does not exist."""
        # It sets the managed fields itself: nothing is to be owned by an update besides.
        item, created = self._rest.apply(replace(call.write, writer=None), applying(call, self._rest.fields))
        return respond_item(call, self._completed(call, item) if created else item, form, 201 if created else 200)

    def _completed(self, call: Call, item: Item) -> Item:
        complete = self._after_create.get(call.kind.resource)
        return complete(item) if complete is not None else item

    def _delete(self, call: Call) -> Response:
        form = single_form(call)
        wanted = _delete_options(call)
        item, gone = self._rest.delete(replace(call.write, dry_run=wanted.dry_run), wanted)
        if gone and not call.kind.strategy.return_deleted:
            return respond(negotiation.encode(deleted_status(call, item), form), form=form)
        return respond_item(call, item, form, 202 if not gone and wanted.cascading else 200)

    def _delete_collection(self, call: Call) -> Response:
        form = list_form(call)
        wanted = _delete_options(call)
        write = replace(call.write, dry_run=wanted.dry_run)
        result = self._read.list(call.kind, call.namespace, parse_list_options(call.kind, call.query))
        deleted: list[Item] = []
        for item in result.items:
            meta = item.object["metadata"]
            one = replace(write, namespace=meta.get("namespace", ""), name=meta["name"])
            try:
                deleted.append(self._rest.delete(one, wanted)[0])
            except NotFound:
                continue  # Another client has deleted it meanwhile.
        return respond_list(call, ListResult(deleted, result.metadata), form)

    # --- subresources --------------------------------------------------------------------------------------------

    def _serve_subresource(self, call: Call) -> Response:
        row = call.kind.subresource(call.subresource)
        if row is None or not call.name or (call.subpath and not row.subpaths):
            raise no_such_resource("" if row else why_no_subresource(call.kind, call.subresource))
        if call.verb not in row.verbs:
            raise method_not_allowed()
        if row.handler is not None:
            return self._handlers[row](call)
        if row.act is not None:
            return self._act(call, row)
        if row.show is not None or row.apply is not None:
            return self._serve_view(call, row)
        # The whole object, of which only a part may change: ``status``, ``approval``.
        return self._verbs[call.verb](call)

    def _serve_view(self, call: Call, row: Subresource) -> Response:
        show, view = row.show or (lambda obj: obj), view_kind(call.kind, row)
        custom = not call.kind.codec.typed
        form = negotiation.single_form(form_of(call.environ, call.query, OBJECTS, custom=custom), view.go_type)
        if call.verb == "get":
            item = self._read.get(call.kind, call.namespace, call.name)
        else:
            wanted = _decode(call, view) if call.verb == "update" else None
            change = through_view(call, row, view, wanted, self._rest.fields)
            writer = None if row.show is not None else call.writer
            item = self._rest.modify(replace(call.write, writer=writer, hooks=row.hooks), change)
        return respond(negotiation.encode(in_form(call, view, show(item.object), form), form), form=form)

    def _act(self, call: Call, row: Subresource) -> Response:
        form = form_of(call.environ, call.query)
        body = _decode(call, view_kind(call.kind, row), _body_version(call.body, row))
        parent = self._read.get(call.kind, call.namespace, call.name).object
        self._rest.admit("CREATE", call.write, body)
        assert row.act is not None
        answer = row.act(RestActions(self._rest, call.kind, call.user, call.dry_run), parent, body)
        return respond(negotiation.encode(answer, form), 201, form=form)


def _check_path(call: Call) -> None:
    """Raise NotFound or MethodNotAllowed for a path that does not exist for the kind, or has not this method."""
    kind = call.kind
    if kind.namespaced and not call.namespace and call.name and call.verb != "watch":
        raise no_such_resource()
    if call.verb not in kind.verbs and not (kind.missing and call.verb in ("delete", "deletecollection")):
        raise method_not_allowed(kind.missing)
    # POST is to the collection, PUT and PATCH are to an object.
    if call.verb in ("create", "update", "patch") and (call.verb == "create") == bool(call.name):
        raise method_not_allowed()
    if kind.namespaced and not call.namespace and call.verb not in ("list", "watch"):
        raise method_not_allowed()
    if not kind.namespaced and call.namespace and kind.plural != "namespaces":
        raise no_such_resource()


def _body_version(body: bytes, row: Subresource) -> str:
    """Return the version that an action's body names, if it is another one that the row takes; else an empty text."""
    found = re.search(rb'"apiVersion"\s*:\s*"([^"]*)"', body)
    api_version = found[1].decode(errors="replace") if found else protobuf.api_version(body)
    version = api_version.removeprefix(f"{row.group}/")
    return version if version in row.also_taken else ""


def _decode(call: Call, kind: Kind, version: str = "") -> Object:
    """Return the object in the body, in the form that is stored; warnings go to the call.

    ``version`` is that of a body that is not of the call's kind; empty means the kind's own.
    """
    if kind is call.kind and call.version != kind.version:
        version = call.version
    obj, warnings = kind.codec.decode(
        kind, call.body, call.content_type, field_validation=call.field_validation, version=version
    )
    kind.to_stored(obj)
    call.warnings.extend(warnings)
    return obj


def _patching(call: Call, content_type: str) -> Callable[[Object], Object]:
    """Return what a patch does to the object, which it meets in the version that the client asked for."""
    kind, body, validation = call.kind, call.body, call.field_validation

    def change(old: Object) -> Object:
        patched = patch.apply(kind, in_version(call, old), body, content_type)
        if call.version != kind.version:
            if kind.convert is not None:
                kind.convert(patched, call.version, True)
            patched["apiVersion"] = kind.api_version
        new, warnings = patch.checked(kind, patched, body, content_type, validation)
        kind.to_stored(new)
        call.warnings[:] = warnings  # Those of an earlier attempt are void.
        metadata.check_name(new, call.name, call.namespace)
        return new

    return change


def _delete_options(call: Call) -> deletion.DeleteOptions:
    body, dry_run = call.body, parameters.values(call.environ["QUERY_STRING"], "dryRun")
    value = _DELETE_OPTIONS.codec.decode(_DELETE_OPTIONS, body, call.content_type)[0] if body.strip() else None
    return deletion.parse_options(value, call.query, dry_run)


@lru_cache(maxsize=64)
def view_kind(kind: Kind, row: Subresource) -> Kind:
    """Return a row for the body of a subresource; the parent's own if the body has no form of its own."""
    if not row.definition:
        return kind
    codec = UpstreamCodec(row.definition)
    return Kind(row.group, row.version, row.kind, row.name, codec, namespaced=kind.namespaced, columns=row.columns)
