"""The four ways to call a container, for probes and lifecycle hooks alike: HTTP, TCP, a command in it, gRPC.

Messages are worded as upstream's, because they stand in events, and people search for those.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import h11

from kubelet.model import podspec
from kubelet.model.runtime import ContainerRuntime, ExecTimeout, RuntimeFailure, RuntimeUnavailable
from kubelet.probes import httpget
from kubelet.probes.httpget import LONGEST_BODY, USER_AGENT
from machinery.digits import is_number
from machinery.errors import quote

MOST_REDIRECTS = 10
_SERVING = 1
_HEALTH = {0: "UNKNOWN", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}  # grpc.health.v1.HealthCheckResponse


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one call. ``message`` is the answer's body or the reason of the failure."""

    success: bool
    message: str = ""
    warning: str = ""  # the message of an event that is due although the call succeeded


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """The container that is asked, and the IP address of its pod."""

    container_id: str
    address: str
    spec: podspec.Spec


def run(runtime: ContainerRuntime, target: ProbeTarget, handler: Mapping[str, Any], timeout: float) -> Outcome:
    if command := handler.get("exec", {}).get("command"):
        return execute(runtime, target, command, timeout)
    if request := handler.get("httpGet"):
        return http_get(target, request, timeout)
    if check := handler.get("tcpSocket"):
        try:
            port = port_number(target.spec, check["port"])
        except ValueError as error:
            return Outcome(False, str(error))
        return tcp(check.get("host") or target.address, port, timeout)
    if check := handler.get("grpc"):
        return grpc(target, check, timeout)
    return Outcome(False, "missing probe handler")


def run_hook(runtime: ContainerRuntime, target: ProbeTarget, hook: Mapping[str, Any], timeout: float) -> Outcome:
    """Call a postStart or preStop hook, within ``timeout`` seconds.

    An HTTP hook succeeds with any answer below 400, a command with exit code 0, a sleep always.
    """
    if "sleep" in hook:
        time.sleep(min(float(hook["sleep"].get("seconds", 0)), timeout))
        return Outcome(True)
    if "tcpSocket" in hook and "httpGet" not in hook and "exec" not in hook:
        return Outcome(False, "tcpSocket is not a lifecycle handler any more: use exec or httpGet")
    return run(runtime, target, hook, timeout)


def port_number(spec: podspec.Spec, port: int | str) -> int:
    """Resolve the port of a probe or hook: a number, or the name of a port of the container. Raises ValueError."""
    if isinstance(port, int) or is_number(port):
        return int(port)
    for declared in spec.get("ports", []):
        if declared.get("name") == port:
            return int(declared["containerPort"])
    raise ValueError(f"couldn't find port: {quote(str(port))} in container {spec['name']}")


def execute(runtime: ContainerRuntime, target: ProbeTarget, command: list[str], timeout: float) -> Outcome:
    try:
        result = runtime.execute(target.container_id, command, timeout)
    except (ExecTimeout, RuntimeFailure, RuntimeUnavailable) as error:
        return Outcome(False, str(error))
    return Outcome(result.exit_code == 0, result.output[:LONGEST_BODY])


def tcp(host: str, port: int, timeout: float) -> Outcome:
    try:
        socket.create_connection((host, port), timeout).close()
    except TimeoutError:
        return Outcome(False, f"dial tcp {_joined(host, port)}: i/o timeout")
    except OSError as error:
        return Outcome(False, f"dial tcp {_joined(host, port)}: connect: {_words(error)}")
    return Outcome(True)


def http_get(target: ProbeTarget, request: Mapping[str, Any], timeout: float) -> Outcome:
    try:
        port = port_number(target.spec, request["port"])
    except ValueError as error:
        return Outcome(False, str(error))
    scheme = str(request.get("scheme") or "HTTP").lower()
    host = _joined(request.get("host") or target.address, port)
    url = f"{scheme}://{host}{httpget.request_target(str(request.get('path') or '/'))}"
    return _follow(url, request.get("httpHeaders", []), time.monotonic() + timeout)


def _follow(url: str, headers: list[dict[str, Any]], deadline: float) -> Outcome:
    """GET a URL and follow redirects on the same host. A redirect to another host counts as success, with a warning."""
    first = urlsplit(url).hostname
    for _ in range(MOST_REDIRECTS):
        try:
            answer = httpget.get(url, headers, deadline)
        except TimeoutError:
            return Outcome(
                False, f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
            )
        except (OSError, h11.ProtocolError, ValueError) as error:
            words = str(error) if isinstance(error, (h11.ProtocolError, ValueError)) else _dialled(url, error)
            return Outcome(False, f'Get "{url}": {words}')
        if answer.status in (301, 302, 303, 307, 308) and answer.location:
            url = urljoin(url, answer.location)
            if urlsplit(url).hostname != first:
                return Outcome(True, answer.body, warning=f"Probe terminated redirects, Response body: {answer.body}")
            continue
        if 200 <= answer.status < 400:
            return Outcome(True, answer.body)
        return Outcome(False, f"HTTP probe failed with statuscode: {answer.status}")
    return Outcome(False, f'Get "{url}": stopped after 10 redirects')


def _dialled(url: str, error: OSError) -> str:
    return f"dial tcp {urlsplit(url).netloc}: connect: {_words(error)}"


def grpc(target: ProbeTarget, check: Mapping[str, Any], timeout: float) -> Outcome:
    """Call grpc.health.v1.Health/Check.

    Its two messages have one field each, which protobuf's wrapper types encode in the same way. gRPC's library is
    large, and so it is imported only on a node with such a probe.
    """
    import grpc as library
    from google.protobuf.wrappers_pb2 import Int32Value, StringValue

    asked = StringValue(value=str(check.get("service") or ""))
    where = _joined(target.address, int(check["port"]))
    with library.insecure_channel(where, options=[("grpc.primary_user_agent", USER_AGENT)]) as channel:
        call = channel.unary_unary("/grpc.health.v1.Health/Check", StringValue.SerializeToString, Int32Value.FromString)
        try:
            answer = call(asked, timeout=timeout)
        except library.RpcError as error:
            if error.code() == library.StatusCode.UNIMPLEMENTED:
                return Outcome(False, "error: this server does not implement the grpc health protocol")
            if error.code() == library.StatusCode.DEADLINE_EXCEEDED:
                return Outcome(False, f"timeout: failed to connect service {quote(where)} within {timeout:g}s")
            return Outcome(False, f"error: health rpc failed: {error.details()}")
    if answer.value == _SERVING:
        return Outcome(True)
    return Outcome(False, f'service unhealthy (responded with "{_HEALTH.get(answer.value, answer.value)}")')


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
