"""The Flask application: one view for every path, which finds out what is asked, by whom, and whether it may be.

Every answer that is no success is a Status, whatever went wrong and wherever.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request
from gunicorn.http.errors import ParseException

from apiserver.api.negotiation import Form, encode, form_of
from apiserver.api.nonresource import Documents
from apiserver.api.requestlog import Record
from apiserver.assembly import Server
from apiserver.authorization.impersonation import impersonated
from apiserver.config import Config
from apiserver.model import query as parameters
from apiserver.model.attributes import attributes_of
from apiserver.model.requestinfo import RequestInfo, parse_request
from apiserver.model.trace import spent
from apiserver.model.user import User
from apiserver.registry.request import Call
from apiserver.serving.connections import reading
from apiserver.storage.protocol import StoreError, TooLarge, Unavailable
from machinery.errors import (
    ApiError,
    BadRequest,
    InternalError,
    MethodNotAllowed,
    NotAcceptable,
    RequestEntityTooLarge,
    ServiceUnavailable,
    no_such_resource,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

_JSON = Form()
BODY_LIMIT = 3 * 1024 * 1024
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]


class Application(Flask):
    """Flask, with a short way for paths of resources.

    Its routing and contexts cost 65 µs a request, most of what a GET takes otherwise, and give these paths nothing:
    ``RequestInfo`` parses them by upstream's rules. All others take Flask's way.
    """

    def __init__(self, front: _Front) -> None:
        super().__init__("apiserver", static_folder=None)
        self._front = front

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith(("/api/", "/apis/")):
            return self._front.answer_to(environ)(environ, start_response)
        return super().wsgi_app(environ, start_response)


def create_app(server: Server) -> Flask:
    """The WSGI application around the assembled parts."""
    front = _Front(server)
    app = Application(front)
    options: dict[str, Any] = {"strict_slashes": False, "merge_slashes": False}
    app.add_url_rule("/", "root", front.answer, methods=_METHODS, **options)
    app.add_url_rule("/<path:path>", "any", front.answer, methods=_METHODS, **options)
    # Werkzeug wants a rule of its own for a request that asks for a WebSocket.
    app.add_url_rule("/<path:path>", "websocket", front.answer, websocket=True, **options)
    app.register_error_handler(Exception, _unexpected)
    return app


class _Front:
    """From environ to Response."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._read_body = partial(read_body, seconds=server.config.request_timeout)
        self._documents = Documents(server, self._read_body)

    def answer(self, path: str = "") -> Response:
        """The view of every route."""
        return self.answer_to(request.environ)

    def answer_to(self, environ: dict[str, Any]) -> Response:
        """Never raises."""
        record = Record(environ, self._server.builtin.get)
        warnings: list[str] = []
        try:
            response = self._serve(environ, warnings, record)
        except Exception as error:
            response = error_response(error, _error_form(environ))
        for text in dict.fromkeys(warnings):
            response.headers.add("Warning", f'299 - "{_quoted(text)}"')
        record.answered(response)
        return response

    def _serve(self, environ: dict[str, Any], warnings: list[str], record: Record) -> Response:
        query = parameters.parse(environ["QUERY_STRING"])
        path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
        watch, fields = parameters.flag(query, "watch"), query.get("fieldSelector", "")
        info = record.info = parse_request(environ["REQUEST_METHOD"], path, watch=watch, field_selector=fields)
        server = self._server
        user = record.user = impersonated(server.authenticator.authenticate(environ), environ, server.authorizer)
        attributes = attributes_of(user, info)
        visible = server.visible(attributes)
        if visible is None:
            server.authorizer.require(attributes)
        if not info.is_resource:
            record.allowed()
            return self._documents.answer(info, environ, query)
        call = self._call(info, user, query, environ, warnings)
        record.kind, call.visible = call.kind, visible
        record.allowed()
        return self._server.endpoints.serve(call)

    def _call(
        self, info: RequestInfo, user: User, query: Mapping[str, str], environ: dict[str, Any], warnings: list[str]
    ) -> Call:
        kind = self._server.served.find(info.group, info.version, info.resource)
        # No way around: rights in a namespace must not open what belongs to the cluster.
        if not kind.namespaced and info.namespace and (kind.plural, info.name) != ("namespaces", info.namespace):
            raise no_such_resource()
        return Call(
            info.verb, kind, info.version, info.namespace if kind.namespaced else "", info.name, info.subresource,
            user, query, environ, self._server.rest, info.subpath, warnings, lambda: self._read_body(environ),
        )  # fmt: skip


def read_body(environ: Mapping[str, Any], seconds: float = Config.request_timeout) -> bytes:
    """The request's body, chunked or not; raises RequestEntityTooLarge without reading more than the limit."""
    length = environ.get("CONTENT_LENGTH")
    too_large = RequestEntityTooLarge(f"Request entity too large: limit is {BODY_LIMIT}")
    if length and int(length) > BODY_LIMIT:
        raise too_large
    if not length and "HTTP_TRANSFER_ENCODING" not in environ:
        return b""
    since = time.perf_counter()
    try:
        with reading(environ.get("gunicorn.socket"), seconds):
            body: bytes = environ["wsgi.input"].read(int(length) if length else BODY_LIMIT + 1)
    except (OSError, ParseException) as error:
        raise BadRequest(f"the request's body could not be read: {error}") from None
    finally:
        spent("body", since)
    if len(body) > BODY_LIMIT:
        raise too_large
    if length and len(body) < int(length):
        raise BadRequest(f"the request's body ended after {len(body)} of {length} bytes")
    return body


def _error_form(environ: Mapping[str, Any]) -> Form:
    """The form that the client accepts, and JSON for one that accepts nothing that we have."""
    try:
        return form_of(environ, parameters.parse(environ.get("QUERY_STRING", "")))
    except NotAcceptable:
        return Form()


def error_response(error: Exception, form: Form = _JSON) -> Response:
    """The Status for an error; one that nobody foresaw is logged with its trace and answered with 500."""
    if isinstance(error, Unavailable):
        error = ServiceUnavailable(str(error))
    elif isinstance(error, TooLarge):
        error = RequestEntityTooLarge(str(error))
    elif isinstance(error, StoreError):
        error = InternalError(str(error))
    elif not isinstance(error, ApiError):
        log.error("an unexpected error", exc_info=error)
        error = InternalError(f"Internal error occurred: {type(error).__name__}: {error}")
    headers = {"Content-Type": form.content_type}
    if error.retry_after:
        headers["Retry-After"] = str(error.retry_after)
    if error.code == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="kubernetes-master"'
    return Response(encode(error.status(), form), error.code, headers)


def _unexpected(error: Exception) -> Response:
    """What Flask itself refuses, before or beside the view."""
    code = getattr(error, "code", None)
    if code == HTTPStatus.NOT_FOUND:
        return error_response(no_such_resource())
    if code == HTTPStatus.METHOD_NOT_ALLOWED:
        return error_response(MethodNotAllowed("the server does not allow this method on the requested resource"))
    if isinstance(code, int):
        return error_response(ApiError(str(error), code=code, reason="BadRequest"))
    return error_response(error)


def _quoted(text: str) -> str:
    """A warning as a quoted string without line breaks, as RFC 7234 wants it."""
    text = " ".join(text.split())
    return text.replace("\\", "\\\\").replace('"', '\\"').encode("ascii", "backslashreplace").decode()
