"""Resource requests as HTTP: body in, verb, answer in the form that the client accepts.

What a verb does stands in ``registry/`` and ``watchstream.py``; here are decoding, codes and rendering.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import orjson
from flask import Response

from apiserver import patch
from apiserver.api import negotiation, tables
from apiserver.api.negotiation import OBJECTS, Form, form_of
from apiserver.api.reviews import Review
from apiserver.api.watchstream import WatchStream
from apiserver.control import projects
from apiserver.kinds.subresources import Subresource, find_subresource
from apiserver.model import metadata
from apiserver.model import query as parameters
from apiserver.model.exchange import WATCH
from apiserver.model.item import Item
from apiserver.model.kind import Kind
from apiserver.model.patchtypes import APPLY_PATCH
from apiserver.model.user import User
from apiserver.registry import apply as applying
from apiserver.registry import deletion, options, reading, views
from apiserver.registry.reading import ListResult, Reading
from apiserver.registry.request import AdmissionRequest, Call
from apiserver.registry.rest import Rest, object_key
from apiserver.schema.codec import UpstreamCodec
from apiserver.storage.cache import WatchCache
from apiserver.streaming import websockets
from machinery.errors import ApiError, BadRequest, MethodNotAllowed, no_such_resource, not_found
from machinery.objects import Object

Handler = Callable[[Call], Response]

_BODIES = ("create", "update", "patch")
_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_DELETE_OPTIONS = Kind("", "v1", "DeleteOptions", "deleteoptions", UpstreamCodec(f"{_META}.DeleteOptions"))


class Endpoints:
    """Serves one resource request; errors are raised and answered by the app."""

    def __init__(
        self,
        rest: Rest,
        read: Reading,
        cache: WatchCache,
        handlers: Mapping[tuple[str, str], Handler],
        reviews: Mapping[str, Review],
    ) -> None:
        self._rest = rest
        self._read = read
        self._cache = cache
        self._handlers = handlers  # (resource, subresource) → what serves it beside the rows' own functions
        self._reviews = reviews
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
        """Raises ApiError."""
        kind = call.kind
        if kind.deprecated:
            call.warnings.append(kind.deprecated)
        options.check_write(call.verb, call.query, call.environ["QUERY_STRING"], call.content_type)
        if call.subresource:
            return self._serve_subresource(call)
        if kind.namespaced and not call.namespace and call.name and call.verb != "watch":
            raise no_such_resource()
        if call.verb not in kind.verbs or ((call.verb == "create") == bool(call.name) and call.verb in _BODIES):
            raise method_not_allowed(call)
        if kind.namespaced and not call.namespace and call.verb not in ("list", "watch"):
            raise method_not_allowed(call)
        if not kind.namespaced and call.namespace and kind.plural != "namespaces":
            raise no_such_resource()
        return self._verbs[call.verb](call)

    def _get(self, call: Call) -> Response:
        form = _single_form(call)
        version = reading.resource_version(call.query)
        item = self._read.get(call.kind, call.namespace, call.name, version)
        return self._respond(call, item, form)

    def _list(self, call: Call) -> Response:
        form = negotiation.list_form(form_of(call.environ, call.query, OBJECTS), call.kind.go_type)
        options = reading.parse_list_options(call.kind, call.query, call.visible)
        result = self._read.list(call.kind, call.namespace, options)
        if _is_plain(call, form):
            return respond(reading.list_body(call.kind, call.kind.api_version, result))
        return respond(negotiation.encode(self._rendered_list(call, result, form), form), form=form)

    def _watch(self, call: Call) -> Response:
        query = dict(call.query)
        if call.name:  # of the old path /watch/…/name
            query["fieldSelector"] = query.get("fieldSelector") or f"metadata.name={call.name}"
        accept = call.environ.get("HTTP_ACCEPT", "").replace(";stream=watch", "")
        form = negotiation.stream_form(form_of(call.environ, {"pretty": "0"}, OBJECTS, accept), call.kind.go_type)
        options = reading.parse_list_options(call.kind, query, call.visible, watch=True)
        if call.name and options.selection.fields.exact("metadata.name") != call.name:
            raise BadRequest("fieldSelector metadata.name doesn't match requested name")
        render = None if _is_plain(call, form) else self._event_renderer(call, form)
        if websockets.is_wanted(call.environ):
            client = websockets.WatchSocket(call.environ)
            return client.carry(WatchStream(self._cache, call.kind, call.namespace, options, client, render))
        stream = WatchStream(self._cache, call.kind, call.namespace, options, None, render)
        call.environ[WATCH] = stream  # for the worker's pump
        return Response(stream, 200, {"Content-Type": "application/json", "Cache-Control": "no-cache, private"})

    def _create(self, call: Call) -> Response:
        review = self._reviews.get(call.kind.resource)
        if review is not None:
            return self._answer(call, review)
        form = _single_form(call)
        obj = self._decoded(call, call.kind)
        item = self._rest.create(
            call.kind, call.namespace, obj, call.user,
            writer=call.writer, dry_run=call.dry_run, warnings=call.warnings,
        )  # fmt: skip
        return self._respond(call, projects.completed(self._rest, call.kind, item), form, 201)

    def _answer(self, call: Call, review: Review) -> Response:
        """What is stored nowhere has no row in a Table either."""
        form = form_of(call.environ, call.query)
        obj = self._decoded(call, call.kind)
        metadata.place(call.kind, call.namespace, obj)
        return respond(negotiation.encode(review(call, obj), form), 201, form=form)

    def _update(self, call: Call, subresource: str = "") -> Response:
        form = _single_form(call)
        obj = self._decoded(call, call.kind)
        item, created = self._rest.update(
            call.kind, call.namespace, call.name, obj, call.user,
            writer=call.writer, subresource=subresource, dry_run=call.dry_run, warnings=call.warnings,
        )  # fmt: skip
        return self._respond(call, item, form, 201 if created else 200)

    def _patch(self, call: Call, subresource: str = "") -> Response:
        form = _single_form(call)
        # A patch of a form that is not accepted is refused even where there is nothing to patch.
        kind, body, content_type = call.kind, call.body, patch.accepted_type(call.content_type, call.kind)
        if content_type == APPLY_PATCH:
            return self._apply(call, subresource, form)
        validation = call.field_validation

        def change(old: Object) -> Object:
            base = self._outward(call, old)
            patched = patch.apply(kind, base, body, content_type)
            if call.version != kind.version:
                if kind.convert is not None:
                    kind.convert(patched, call.version, True)
                patched["apiVersion"] = kind.api_version
            new, warnings = kind.codec.check(patched, field_validation=validation)
            kind.to_stored(new)
            call.warnings[:] = warnings
            metadata.check_name(new, call.name, call.namespace)
            return new

        item = self._rest.modify(
            kind, call.namespace, call.name, change, call.user,
            writer=call.writer, subresource=subresource, dry_run=call.dry_run, warnings=call.warnings,
        )  # fmt: skip
        return self._respond(call, item, form)

    def _apply(self, call: Call, subresource: str, form: Form) -> Response:
        """Server-side apply, which creates what is not there."""
        item, created = self._rest.apply(
            call.kind, call.namespace, call.name, applying.change(call), call.user,
            subresource=subresource, dry_run=call.dry_run, warnings=call.warnings,
        )  # fmt: skip
        item = projects.completed(self._rest, call.kind, item) if created else item
        return self._respond(call, item, form, 201 if created else 200)

    def _delete(self, call: Call) -> Response:
        form = _single_form(call)
        options = self._delete_options(call)
        item, gone = self._rest.delete(call.kind, call.namespace, call.name, options, call.user)
        if gone and not call.kind.strategy.return_deleted:
            return respond(negotiation.encode(_deleted(call, item), form), form=form)
        return self._respond(call, item, form, 202 if not gone and options.cascading else 200)

    def _delete_collection(self, call: Call) -> Response:
        form = negotiation.list_form(form_of(call.environ, call.query, OBJECTS), call.kind.go_type)
        options = self._delete_options(call)
        result = self._read.list(call.kind, call.namespace, reading.parse_list_options(call.kind, call.query))
        deleted: list[Item] = []
        for item in result.items:
            meta = item.object["metadata"]
            try:
                gone, _ = self._rest.delete(call.kind, meta.get("namespace", ""), meta["name"], options, call.user)
            except ApiError as error:
                if error.code != 404:
                    raise
            else:
                deleted.append(gone)
        result = ListResult(deleted, result.metadata)
        if _is_plain(call, form):
            return respond(reading.list_body(call.kind, call.kind.api_version, result))
        return respond(negotiation.encode(self._rendered_list(call, result, form), form), form=form)

    def _serve_subresource(self, call: Call) -> Response:
        row = find_subresource(call.kind, call.subresource)
        if row is None or not call.name:
            raise no_such_resource()
        if call.verb not in row.verbs:
            raise method_not_allowed(call)
        handler = self._handlers.get((call.kind.resource, call.subresource))
        if handler is not None:
            return handler(call)
        if row.act is not None:
            return self._act(call, row)
        if row.show is None and row.apply is None:
            return self._serve_own_form(call)
        return self._serve_view(call, row)

    def _serve_own_form(self, call: Call) -> Response:
        """``status``: the whole object, of which only a part may change."""
        if call.verb == "get":
            return self._get(call)
        return self._update(call, call.subresource) if call.verb == "update" else self._patch(call, call.subresource)

    def _serve_view(self, call: Call, row: Subresource) -> Response:
        show, view = row.show or (lambda obj: obj), view_kind(call.kind, row)
        form = negotiation.single_form(form_of(call.environ, call.query, OBJECTS), view.go_type)
        if call.verb == "get":
            item = self._read.get(call.kind, call.namespace, call.name)
        else:
            wanted = self._decoded(call, view) if call.verb == "update" else None
            item = self._rest.modify(
                call.kind, call.namespace, call.name, views.change(call, row, view, wanted), call.user,
                writer=None if row.show is not None else call.writer,
                subresource=call.subresource, dry_run=call.dry_run, hooks=row.hooks,
            )  # fmt: skip
        return respond(negotiation.encode(_in_form(call, view, show(item.object), form), form), form=form)

    def _act(self, call: Call, row: Subresource) -> Response:
        form = form_of(call.environ, call.query)
        body = self._decoded(call, view_kind(call.kind, row))
        parent = self._read.get(call.kind, call.namespace, call.name).object
        self._rest.admit(
            AdmissionRequest(
                "CREATE", call.kind, call.namespace, call.name, row.name, call.user, body, None, self._rest.reader,
                call.dry_run,
            )
        )  # fmt: skip
        assert row.act is not None
        answer = row.act(RestActions(self._rest, call.user, call.dry_run), parent, body)
        return respond(negotiation.encode(answer, form), 201, form=form)

    def _decoded(self, call: Call, kind: Kind) -> Object:
        version = call.version if kind is call.kind and call.version != kind.version else ""
        obj, warnings = kind.codec.decode(
            kind, call.body, call.content_type, field_validation=call.field_validation, version=version
        )
        kind.to_stored(obj)
        call.warnings += warnings
        return obj

    def _delete_options(self, call: Call) -> deletion.DeleteOptions:
        body, dry_run = call.body, parameters.values(call.environ["QUERY_STRING"], "dryRun")
        value = _DELETE_OPTIONS.codec.decode(_DELETE_OPTIONS, body, call.content_type)[0] if body.strip() else None
        return deletion.parse_options(value, call.query, dry_run)

    def _respond(self, call: Call, item: Item, form: Form, code: int = 200) -> Response:
        if _is_plain(call, form):
            return respond(item.data + b"\n", code)
        obj = _in_form(call, call.kind, self._outward(call, item.object), form)
        return respond(negotiation.encode(obj, form), code, form=form)

    def _rendered_list(self, call: Call, result: ListResult, form: Form) -> Object:
        kind, objects = call.kind, [self._outward(call, item.object) for item in result.items]
        if form.transform is None:
            api_version = f"{kind.group}/{call.version}" if kind.group else call.version
            return reading.list_object(kind, api_version, objects, result.metadata)
        version = form.transform.version
        if form.is_table:
            return tables.render(kind, objects, result.metadata, version, options.check_table(call.query))
        return tables.partial_metadata_list(objects, result.metadata, version)

    def _event_renderer(self, call: Call, form: Form) -> Callable[[Object], Object]:
        """How a watch shows an object; only a Table's first event brings the columns."""
        first = True
        options.check_table(call.query)  # refused before the watch begins

        def render(obj: Object) -> Object:
            nonlocal first
            shown = _in_form(call, call.kind, self._outward(call, obj), form, headers=first)
            first = False
            return shown

        return render

    def _outward(self, call: Call, obj: Object) -> Object:
        """The object in the version that was asked for."""
        kind = call.kind
        if call.version == kind.version and kind.stored_as is None:
            return obj
        converted: Object = orjson.loads(orjson.dumps(obj))
        if kind.convert is not None:
            kind.convert(converted, call.version, False)
        converted["apiVersion"] = f"{kind.group}/{call.version}" if kind.group else call.version
        return converted


class RestActions:
    """See ``Actions``: the verbs for a subresource's action, in the name of its caller."""

    def __init__(self, rest: Rest, user: User, dry_run: bool) -> None:
        self.dry_run = dry_run
        self.user = user
        self._rest = rest

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        self._rest.cache.catch_up(kind.prefix)
        item = self._rest.cache.get(kind.prefix, object_key(kind, namespace, name))
        if item is None:
            raise not_found(kind.resource, name)
        return item.object

    def update(self, kind: Kind, namespace: str, name: str, change: Callable[[Object], Any]) -> Object:
        def apply(old: Object) -> Object:
            change(old)
            return old

        return self._rest.modify(kind, namespace, name, apply, self.user, dry_run=self.dry_run, hooks=False).object

    def delete(self, kind: Kind, namespace: str, name: str, options: Object) -> Object:
        parsed = deletion.parse_options(options, {}, ["All"] if self.dry_run else [])
        item, _ = self._rest.delete(kind, namespace, name, parsed, self.user)
        return item.object


@lru_cache(maxsize=64)
def view_kind(kind: Kind, row: Subresource) -> Kind:
    """A row for the body of a subresource; the parent's own when it has no form of its own."""
    if not row.definition:
        return kind
    codec = UpstreamCodec(row.definition)
    return Kind(row.group, row.version, row.kind, row.name, codec, namespaced=kind.namespaced, columns=row.columns)


def respond(body: bytes, code: int = 200, *, form: Form | None = None) -> Response:
    """A finished answer."""
    return Response(body, code, content_type=form.content_type if form else "application/json")


def _single_form(call: Call) -> Form:
    return negotiation.single_form(form_of(call.environ, call.query, OBJECTS), call.kind.go_type)


def _in_form(call: Call, kind: Kind, obj: Object, form: Form, *, headers: bool = True) -> Object:
    """One object of the kind as itself, its metadata or a Table with one row."""
    if form.transform is None:
        return obj
    version = form.transform.version
    if not form.is_table:
        return tables.partial_metadata(obj, version)
    meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
    return tables.render(kind, [obj], meta, version, options.check_table(call.query), headers=headers)


def method_not_allowed(call: Call) -> MethodNotAllowed:
    """Upstream's 405."""
    return MethodNotAllowed("the server does not allow this method on the requested resource")


def _is_plain(call: Call, form: Form) -> bool:
    """The stored bytes are the answer."""
    return (
        form.transform is None
        and not form.pretty
        and form.media_type == negotiation.JSON
        and call.version == call.kind.version
        and call.kind.stored_as is None
        and "pretty" not in call.query
    )


def _deleted(call: Call, item: Item) -> Object:
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
