"""Subresources of a pod that stream bytes: log, exec, attach and portforward, served by the kubelet of its node.

The API server decides who may do it and which container is meant; the kubelet does the rest. An upgrade request (SPDY
or WebSocket) is repeated to the kubelet. If that answers 101, the request's thread takes the client's socket over and
carries bytes between both connections until they end. Any other response is passed on as it is.
Upstream: registry/core/pod/rest/{log,subresources}.go and apimachinery/pkg/util/proxy/upgradeaware.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from urllib.parse import parse_qs, quote, urlencode

from flask import Response

from apiserver.config import Config
from apiserver.kinds.nodes import NODES
from apiserver.kinds.pods.row import PODS
from apiserver.kinds.subresources import body
from apiserver.model import query as parameters
from apiserver.model.exchange import EXCHANGE
from apiserver.model.kind import Subresource
from apiserver.registry.call import Call
from apiserver.registry.reader import require_object
from apiserver.registry.rest import Rest
from apiserver.streaming import weblog, websockets
from apiserver.streaming.backend import BackendError, Dialer, Stream, open_stream
from apiserver.streaming.targets import ProxyTarget, authority, choose_container, kubelet_of
from apiserver.streaming.upgrade import body_of, client_of, http_head, take_over, unreachable, upgrade
from machinery.errors import ApiError, BadRequest, FieldError, InternalError, NotFound, invalid
from machinery.objects import Object

_ERROR_LIMIT = 50_000  # bytes of a kubelet's error message


class Connect:
    """Handlers of a pod's own subresources."""

    def __init__(self, dialer: Dialer, rest: Rest) -> None:
        self._dialer = dialer
        self._rest = rest

    def log(self, call: Call) -> Response:
        """Serve ``pods/NAME/log``.

        It goes through a tunnel, in which a client may pause, and is noticed when it leaves though nothing is logged.
        """
        query = _query(call)
        check_log_options(call.name, query)
        pod = self._pod(call)
        container = choose_container(pod, _last(query, "container"))
        node = (pod.get("spec") or {}).get("nodeName")
        if not node:  # there is no log yet, which upstream does not call an error
            return Response(b"", 200, content_type="text/plain")
        path = _path("containerLogs", (call.namespace, call.name, container), log_parameters(query))
        target = self._kubelet(node)
        if websockets.is_wanted(call.environ):
            return weblog.serve(call.environ, lambda: self._open_log(call, target, path, version="1.0"))
        if EXCHANGE in call.environ and call.environ["REQUEST_METHOD"] == "GET":
            return self._tunnel(call, target, path)
        response = self._open_log(call, target, path).response("GET")
        answer = Response(body_of(response), 200, content_type="text/plain")
        answer.call_on_close(response.close)
        return answer

    def _open_log(self, call: Call, target: ProxyTarget, path: str, *, version: str = "1.1") -> Stream:
        try:
            connection = self._dialer.kubelet(target, client_of(call.environ))
            headers = [("Host", authority(target)), ("Connection", "close")]
            stream = open_stream(connection, "GET", path, headers, version=version)
        except (BackendError, OSError) as error:
            raise unreachable(f'Get "https://{authority(target)}{path}": {error}') from error
        if stream.code >= 300:
            raise _log_error(stream.code, stream.response("GET").read(_ERROR_LIMIT))
        return stream

    def _tunnel(self, call: Call, target: ProxyTarget, path: str) -> Response:
        version = "1.0" if call.environ.get("SERVER_PROTOCOL") == "HTTP/1.0" else "1.1"
        stream = self._open_log(call, target, path, version=version)
        fields = [("Content-Type", "text/plain"), ("Cache-Control", "no-cache, private"), ("Connection", "close")]
        fields += [(name, value) for name, value in stream.headers.items() if name.lower() == "transfer-encoding"]
        return take_over(call.environ, http_head(200, fields), stream)

    def exec(self, call: Call) -> Response:
        """Serve ``pods/NAME/exec``: run a command in a container."""
        query = _query(call)
        return self._upgrade_container(call, query, [("command", word) for word in query.get("command", [])])

    def attach(self, call: Call) -> Response:
        """Serve ``pods/NAME/attach``: a container's own input and output."""
        return self._upgrade_container(call, _query(call), [])

    def _upgrade_container(
        self, call: Call, query: Mapping[str, list[str]], parameters: list[tuple[str, str]]
    ) -> Response:
        pod = self._pod(call)
        container = choose_container(pod, _last(query, "container"))
        node = _node_name(pod)
        for name, kubelets in _STREAM_PARAMETERS.items():
            if _flag(query, name):
                parameters.append((kubelets, "1"))
        path = _path(call.subresource, (call.namespace, call.name, container), parameters)
        return self._upgrade(call, node, path)

    def port_forward(self, call: Call) -> Response:
        """Serve ``pods/NAME/portforward``: TCP connections into a pod."""
        node = _node_name(self._pod(call))
        ports = ",".join(port for value in _query(call).get("ports", []) for port in value.split(","))
        path = _path("portForward", (call.namespace, call.name), [("port", ports)] if ports else [])
        return self._upgrade(call, node, path)

    def _upgrade(self, call: Call, node: str, path: str) -> Response:
        if not call.environ.get("HTTP_UPGRADE"):
            raise BadRequest("Upgrade request required")
        self._rest.admit("CONNECT", call.write, None)
        target = self._kubelet(node)
        try:
            connection = self._dialer.kubelet(target, client_of(call.environ))
        except BackendError as error:
            raise unreachable(f"error dialing backend: {error}") from error
        return upgrade(call.environ, connection, path, [("Host", authority(target))])

    def _pod(self, call: Call) -> Object:
        return require_object(self._rest.reader, PODS, call.namespace, call.name)

    def _kubelet(self, node: str) -> ProxyTarget:
        return kubelet_of(require_object(self._rest.reader, NODES, "", node))


def _handler(method: Callable[[Connect, Call], Response]) -> Callable[[Config, Rest], Callable[[Call], Response]]:
    return lambda config, rest: partial(method, Connect(Dialer(config), rest))


def _upgrading(name: str, options: str, method: Callable[[Connect, Call], Response]) -> Subresource:
    return Subresource(name, ("create", "get"), *body("", options), handler=_handler(method))


# Resource → its subresources that stream.
SUBRESOURCES: Mapping[str, tuple[Subresource, ...]] = {
    "pods": (
        Subresource("log", ("get",), handler=_handler(Connect.log), text=True),
        _upgrading("exec", "PodExecOptions", Connect.exec),
        _upgrading("attach", "PodAttachOptions", Connect.attach),
        _upgrading("portforward", "PodPortForwardOptions", Connect.port_forward),
    )
}


# --- parameters --------------------------------------------------------------------------------------------------

# The parameters of PodExecOptions and PodAttachOptions → the kubelet's.
_STREAM_PARAMETERS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}


def check_log_options(name: str, query: Mapping[str, list[str]]) -> None:
    """Check PodLogOptions as upstream's ValidatePodLogOptions.

    Raises BadRequest for what is not a number, and Invalid (422), with a cause for each field, for other wrong values.
    """
    errors = []
    for field, least in (("tailLines", 0), ("sinceSeconds", 1), ("limitBytes", 1)):
        text = _last(query, field)
        if not text:
            continue
        number = parameters.int64(text)
        if number < least:
            words = "must be greater than or equal to 0" if least == 0 else "must be greater than 0"
            errors.append(FieldError.invalid(field, number, words))
    if _last(query, "sinceSeconds") and _last(query, "sinceTime"):
        words = "at most one of `sinceTime` or `sinceSeconds` may be specified"
        errors.append(FieldError.forbidden("sinceSeconds", words))
    if errors:
        raise invalid("PodLogOptions", name, errors)


def log_parameters(query: Mapping[str, list[str]]) -> list[tuple[str, str]]:
    """Return the PodLogOptions that the client gave, as the kubelet's parameters, which have the same names."""
    found = [(name, "true") for name in ("follow", "previous", "timestamps") if _flag(query, name)]
    return found + [
        (name, _last(query, name))
        for name in ("sinceSeconds", "sinceTime", "tailLines", "limitBytes")
        if _last(query, name)
    ]


def _query(call: Call) -> dict[str, list[str]]:
    """Return every value of each query parameter."""
    return parse_qs(call.environ.get("QUERY_STRING", ""), keep_blank_values=True)


def _last(query: Mapping[str, list[str]], name: str) -> str:
    return query.get(name, [""])[-1]


def _flag(query: Mapping[str, list[str]], name: str) -> bool:
    """Read a boolean parameter as upstream does: it is present, and neither ``false`` nor ``0``."""
    return name in query and _last(query, name).lower() not in ("false", "0")


def _path(endpoint: str, names: Iterable[str], parameters: list[tuple[str, str]]) -> str:
    """Return a path and query for the kubelet."""
    path = "/" + "/".join([endpoint, *(quote(name, safe="") for name in names)])
    return f"{path}?{urlencode(parameters)}" if parameters else path


def _node_name(pod: Object) -> str:
    node = pod["spec"].get("nodeName")
    if not node:
        raise BadRequest(f"pod {pod['metadata']['name']} does not have a host assigned")
    return str(node)


def _log_error(code: int, body: bytes) -> ApiError:
    """Return the error for a kubelet's response (upstream: GenericHttpResponseChecker)."""
    text = body.decode(errors="replace").strip()
    if code == 400:
        return BadRequest(text)
    if code == 404:
        cause = {"reason": "UnexpectedServerResponse", "message": text}
        return NotFound("the server could not find the requested resource", details={"causes": [cause]})
    if code == 500:
        return InternalError(f"Internal error occurred: {text}", details={"causes": [{"message": text}]})
    return ApiError(text, code=code, reason="")
