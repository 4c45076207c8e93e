"""The Flask application: a request is parsed, authenticated, authorized and handed on to what serves its path.

Whatever goes wrong anywhere is an exception, which is answered here with a Status object.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request

from apiserver.api import warningheaders
from apiserver.api.body import read_body
from apiserver.api.health import is_health_check
from apiserver.api.negotiation import Form, encode, form_of
from apiserver.api.nonresource import Documents
from apiserver.api.requestlog import RequestLog
from apiserver.api.resources import Resources
from apiserver.api.shares import Shares
from apiserver.authorization.authn import Authenticator
from apiserver.authorization.impersonation import impersonated
from apiserver.kinds.registry import Registry
from apiserver.model import query as parameters
from apiserver.model.attributes import Attributes, Authorizer, Visible, attributes_of
from apiserver.model.exchange import EXCHANGE, WATCH
from apiserver.model.kind import Kind
from apiserver.model.requestinfo import RequestInfo, parse_request
from apiserver.registry.call import Call
from apiserver.registry.served import ServedKinds
from apiserver.storage.protocol import StoreError, TooLarge, Unavailable
from apiserver.streaming import websockets
from machinery.errors import (
    ApiError,
    InternalError,
    NotAcceptable,
    RequestEntityTooLarge,
    ServiceUnavailable,
    method_not_allowed,
    no_such_resource,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

_JSON = Form()
# Subresources whose answers are streams, to be read and written as long as both sides like.
_STREAMS = frozenset({"attach", "exec", "log", "portforward", "proxy"})
# What is to be called when a request has been answered, or a watch has ended: it leaves its user's share.
_LEAVE, _LEAVE_WATCH = "apiserver.leave", "apiserver.leave-watch"
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]


class FlaskApplication(Flask):
    """Flask, which resource requests bypass.

    Flask's routing and contexts take 65 µs a request, longer than the rest of a GET, and are of no use to paths of
    resources, which ``RequestInfo`` parses by upstream's rules. All other paths are routed by Flask.
    """

    def __init__(self, front: Front) -> None:
        super().__init__("apiserver", static_folder=None)
        self._front = front

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith(("/api/", "/apis/")):
            return self._front.answer_to(environ)(environ, start_response)
        return super().wsgi_app(environ, start_response)


def create_app(front: Front) -> Flask:
    """Return the WSGI application: every path and method leads to ``front``."""
    app = FlaskApplication(front)
    options: dict[str, Any] = {"strict_slashes": False, "merge_slashes": False}
    app.add_url_rule("/", "root", front.answer, methods=_METHODS, **options)
    app.add_url_rule("/<path:path>", "any", front.answer, methods=_METHODS, **options)
    # Werkzeug wants a rule of its own for a request that asks for a WebSocket.
    app.add_url_rule("/<path:path>", "websocket", front.answer, websocket=True, **options)
    app.register_error_handler(Exception, _unexpected)
    return app


@dataclass(frozen=True)
class Front:
    """Answers requests: from WSGI's environ to a Response."""

    authenticator: Authenticator
    authorizer: Authorizer
    builtin: Registry
    served: ServedKinds
    resources: Resources
    documents: Documents
    # Which objects of a list to show to a user who may not see all of them; None leaves it to the authorizer.
    visible: Callable[[Attributes], Visible | None]
    shares: Shares = field(default_factory=Shares)

    def answer(self, path: str = "") -> Response:
        """Answer the request of Flask's context; the view of every route."""
        return self.answer_to(request.environ)

    def answer_to(self, environ: dict[str, Any]) -> Response:
        """Answer a request; errors are answered too, and never raised."""
        request_log = RequestLog(environ, self.builtin.get)
        warnings: list[str] = []
        try:
            response = self._serve(environ, warnings, request_log)
        except Exception as error:
            response = error_response(error, _error_form(environ))
        for header in warningheaders.headers(warnings):
            response.headers.add("Warning", header)
        # As upstream's filter of that name. (Headers.setdefault would raise and catch two errors, which takes 5 µs.)
        if not any(name == "Cache-Control" for name, _ in response.headers):
            response.headers.add("Cache-Control", "no-cache, private")
        request_log.answered(response)
        leave, leave_watch = environ.pop(_LEAVE, None), environ.pop(_LEAVE_WATCH, None)
        if leave is not None and WATCH in environ:
            leave()  # from now on it has no thread
            leave = None
        for each in (leave, leave_watch):
            if each is not None:
                response.call_on_close(each)
        return response

    def _serve(self, environ: dict[str, Any], warnings: list[str], request_log: RequestLog) -> Response:
        query = parameters.parse(environ["QUERY_STRING"])
        path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
        watch, fields = parameters.flag(query, "watch"), query.get("fieldSelector", "")
        info = request_log.info = parse_request(environ["REQUEST_METHOD"], path, watch=watch, field_selector=fields)
        caller = self.authenticator.authenticate(environ)
        if EXCHANGE in environ and not is_health_check(info.path):
            stream = info.subresource in _STREAMS or websockets.is_wanted(environ)
            environ[_LEAVE] = self.shares.enter(caller.name, stream=stream)
            if info.verb == "watch" and not stream:
                environ[_LEAVE_WATCH] = self.shares.enter_watch(caller.name)
        user = request_log.user = impersonated(caller, environ, self.authorizer)
        attributes = attributes_of(user, info)
        visible = self.visible(attributes)  # A feature may show a part of a list to a user who may not see it all.
        if visible is None:
            self.authorizer.require(attributes)
        if not info.is_resource:
            request_log.authorized()
            return self.documents.answer(info, environ, query)
        kind = request_log.kind = self._find(info)
        request_log.authorized()
        call = Call(
            verb=info.verb,
            kind=kind,
            version=info.version,
            namespace=info.namespace if kind.namespaced else "",
            name=info.name,
            subresource=info.subresource,
            user=user,
            query=query,
            environ=environ,
            subpath=info.subpath,
            warnings=warnings,
            read_body=lambda: read_body(environ),
            visible=visible,
        )
        return self.resources.serve(call)

    def _find(self, info: RequestInfo) -> Kind:
        """Return the kind that a path is about; raises NotFound."""
        kind = self.served.find(info.group, info.version, info.resource)
        # Rights in a namespace must not open what belongs to the cluster, by a path that names both.
        if not kind.namespaced and info.namespace and (kind.plural, info.name) != ("namespaces", info.namespace):
            raise no_such_resource()
        return kind


def _error_form(environ: Mapping[str, Any]) -> Form:
    """Return the form for an error: the one that the client accepts, or else JSON."""
    try:
        return form_of(environ, parameters.parse(environ.get("QUERY_STRING", "")))
    except NotAcceptable:
        return Form()


def error_response(error: Exception, form: Form = _JSON) -> Response:
    """Answer an error with a Status. An unexpected one is logged with its traceback and answered with 500."""
    if isinstance(error, Unavailable):
        error = ServiceUnavailable(str(error))
    elif isinstance(error, TooLarge):
        error = RequestEntityTooLarge(str(error))
    elif isinstance(error, StoreError):
        error = InternalError(str(error))
    elif not isinstance(error, ApiError):
        log.error("an unexpected error", exc_info=error)
        error = InternalError(f"Internal error occurred: {type(error).__name__}: {error}")
    headers = {"Content-Type": form.content_type, "Cache-Control": "no-cache, private"}
    if error.retry_after:
        headers["Retry-After"] = str(error.retry_after)
    if error.code == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="kubernetes-master"'
    return Response(encode(error.status(), form), error.code, headers)


def _unexpected(error: Exception) -> Response:
    """Answer an error that Flask itself raises before the view is called."""
    code = getattr(error, "code", None)
    if code == HTTPStatus.NOT_FOUND:
        return error_response(no_such_resource())
    if code == HTTPStatus.METHOD_NOT_ALLOWED:
        return error_response(method_not_allowed())
    if isinstance(code, int):
        return error_response(ApiError(str(error), code=code, reason="BadRequest"))
    return error_response(error)
