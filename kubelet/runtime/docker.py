"""The Docker Engine behind the protocols of model/, through the docker package's low-level client.

Only this folder knows the engine's JSON. The runtime sends ready-made configurations (no builder stands between us and
the engine's documented fields), takes no decisions, and turns every error into one of three: not found, refused, not
reachable.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import docker
import requests.exceptions
import urllib3.exceptions
from docker.errors import APIError, DockerException, NotFound

from kubelet.model import labels
from kubelet.model.runtime import (
    ContainerConfig,
    ExecResult,
    ExecTimeout,
    RuntimeContainer,
    RuntimeEvent,
    RuntimeFailure,
    RuntimeImage,
    RuntimeNotFound,
    RuntimeUnavailable,
    SandboxConfig,
)
from kubelet.model.streaming import ContainerUsage, ExecState, StandardStreams
from kubelet.runtime.dockerconfig import container_config, sandbox_config
from kubelet.runtime.dockerstate import container_of, container_of_row, image_of, usage_of
from kubelet.runtime.dockerstream import DockerStream, container_path, open_stream
from machinery.errors import quote
from machinery.stopping import call_on

log = logging.getLogger(__name__)

# Calls that run at the same time: pod workers, probes and hooks. The pool only keeps them open, it does not limit them.
CONNECTIONS = 32
CALL_TIMEOUT = 120
SOCKET = "unix:///var/run/docker.sock"
EVENTS = {
    "type": ["container", "image"],
    "event": ["start", "die", "oom", "destroy", "pull", "tag", "untag", "delete", "load", "import"],
}
P = ParamSpec("P")
R = TypeVar("R")


def translated(call: Callable[P, R]) -> Callable[P, R]:
    """Turn every error of the SDK and of the libraries below it into one of the protocol's three."""

    @wraps(call)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        except NotFound as error:
            raise RuntimeNotFound(reason(error)) from error
        except APIError as error:
            raise RuntimeFailure(reason(error)) from error
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, DockerException) as error:
            raise RuntimeUnavailable(f"Docker does not answer: {error}") from error

    return inner


class DockerRuntime:
    """Implements ContainerRuntime and StreamingRuntime. ``cluster`` is the label's value of our containers."""

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster
        self._client: Any = None
        self._lock = threading.Lock()

    @property
    @translated
    def client(self) -> Any:
        """Return the SDK's client, made at first use so that a kubelet can start before its engine."""
        with self._lock:
            if self._client is None:
                client = docker.APIClient(SOCKET, version="auto", timeout=CALL_TIMEOUT, max_pool_size=CONNECTIONS)
                client.trust_env = False  # a unix socket needs no proxy, and reading the environment costs each call
                self._client = client
            return self._client

    @translated
    def version(self) -> dict[str, str]:
        answer = self.client.version()
        return {"version": answer["Version"], "os": answer["Os"], "arch": answer["Arch"]}

    @translated
    def containers(self) -> list[RuntimeContainer]:
        wanted = {"label": [f"{labels.CLUSTER}={self.cluster}"]}
        return [container_of_row(row) for row in self.client.containers(all=True, filters=wanted)]

    @translated
    def inspect(self, container_id: str) -> RuntimeContainer | None:
        try:
            return container_of(self.client.inspect_container(container_id))
        except NotFound:
            return None

    @translated
    def create_sandbox(self, config: SandboxConfig) -> str:
        return self._create(config.name, sandbox_config(config, self.cluster))

    @translated
    def create_container(self, config: ContainerConfig) -> str:
        return self._create(config.name, container_config(config, self.cluster))

    def _create(self, name: str, config: dict[str, Any]) -> str:
        try:
            return str(self.client.create_container_from_config(config, name)["Id"])
        except APIError as error:
            if error.status_code != 409:
                raise
            self._remove_namesake(name)
            return str(self.client.create_container_from_config(config, name)["Id"])

    def _remove_namesake(self, name: str) -> None:
        """Remove what a kubelet that died between create and start left behind; never a container that is not ours."""
        found = self.client.inspect_container(name)
        if found["Config"]["Labels"].get(labels.CLUSTER) != self.cluster:
            raise RuntimeFailure(f'the container name "{name}" is taken by a container that is not ours')
        self.client.remove_container(found["Id"], force=True, v=True)

    @translated
    def start(self, container_id: str) -> None:
        self.client.start(container_id)

    @translated
    def signal(self, container_id: str, signal: str) -> None:
        try:
            self.client.kill(container_id, signal)
        except APIError as error:
            if error.status_code not in (404, 409):  # 409: it is not running
                raise

    @translated
    def remove(self, container_id: str) -> None:
        try:
            self.client.remove_container(container_id, force=True, v=True)
        except APIError as error:
            if error.status_code not in (404, 409):  # 409: its removal is already in progress
                raise

    @translated
    def image(self, reference: str) -> RuntimeImage | None:
        try:
            return image_of(self.client.inspect_image(reference))
        except NotFound:
            return None

    @translated
    def images(self) -> list[RuntimeImage]:
        return [
            RuntimeImage(row["Id"], size=row["Size"], names=tuple((row["RepoDigests"] or []) + (row["RepoTags"] or [])))
            for row in self.client.images()
        ]

    @translated
    def pull(self, reference: str, auth: dict[str, str] | None) -> None:
        for line in self.client.pull(reference, stream=True, decode=True, auth_config=auth):
            if "error" in line:
                raise RuntimeFailure(line["error"])

    @translated
    def execute(self, container_id: str, command: list[str], timeout: float) -> ExecResult:
        exec_id = self.exec_create(container_id, command, StandardStreams(False, True, True, False))
        stream = self.exec_start(exec_id, tty=False)
        try:
            output = read_output(stream, time.monotonic() + timeout)
        except TimeoutError:
            self._kill_exec(exec_id)
            raise ExecTimeout(f"command {quote(' '.join(command))} timed out after {timeout:g}s") from None
        finally:
            stream.close()
        return ExecResult(self.exec_inspect(exec_id).exit_code or 0, output)

    def _kill_exec(self, exec_id: str) -> None:
        """Kill a command by its process id on the host, because Docker has no call for it."""
        if pid := self.exec_inspect(exec_id).pid:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                log.debug("The timed-out command %s ended by itself", exec_id)

    @translated
    def log_tail(self, container_id: str, lines: int, limit: int) -> str:
        text: bytes = self.client.logs(container_id, tail=lines)
        return text[-limit:].decode(errors="replace")

    # StreamingRuntime

    @translated
    def attach(self, container_id: str, streams: StandardStreams) -> DockerStream:
        query = {"stream": 1, "logs": 0, "stdin": int(streams.stdin), "stdout": int(streams.stdout)}
        query["stderr"] = int(streams.stderr)
        return open_stream(self.client, container_path(container_id, "attach"), query, tty=streams.tty)

    @translated
    def resize(self, container_id: str, height: int, width: int) -> None:
        try:
            self.client.resize(container_id, height=height, width=width)
        except APIError as error:
            log.debug("Resize of container %s: %s", container_id, error)

    @translated
    def exec_create(self, container_id: str, command: list[str], streams: StandardStreams) -> str:
        stdout, stderr, stdin, tty = streams.stdout, streams.stderr, streams.stdin, streams.tty
        try:
            return str(self.client.exec_create(container_id, command, stdout, stderr, stdin, tty)["Id"])
        except APIError as error:
            if error.status_code != 409:  # 409: it is not running
                raise
            raise RuntimeNotFound(reason(error)) from error

    @translated
    def exec_start(self, exec_id: str, *, tty: bool) -> DockerStream:
        return open_stream(self.client, f"/exec/{exec_id}/start", body={"Detach": False, "Tty": tty}, tty=tty)

    @translated
    def exec_inspect(self, exec_id: str) -> ExecState:
        found = self.client.exec_inspect(exec_id)
        return ExecState(bool(found["Running"]), int(found.get("Pid") or 0), found["ExitCode"])

    @translated
    def exec_resize(self, exec_id: str, height: int, width: int) -> None:
        try:
            self.client.exec_resize(exec_id, height=height, width=width)
        except APIError as error:
            log.debug("Resize of exec %s: %s", exec_id, error)

    @translated
    def storage(self, container_id: str) -> int:
        rows = self.client.containers(all=True, size=True, filters={"id": container_id})
        log_file = self.log_path(container_id) if rows else None
        logs = log_file.parent.glob(log_file.name + "*") if log_file else ()
        return sum(int(row.get("SizeRw") or 0) for row in rows) + sum(file.stat().st_size for file in logs)

    @translated
    def log_path(self, container_id: str) -> Path | None:
        path = self.client.inspect_container(container_id).get("LogPath")
        return Path(path) if path else None

    @translated
    def open_end(self, container_id: str) -> DockerStream:
        return open_stream(self.client, container_path(container_id, "wait"))

    @translated
    def usage(self, container_id: str) -> ContainerUsage | None:
        return usage_of(self.client.stats(container_id, stream=False, one_shot=True))

    @translated
    def events(self, stop: threading.Event) -> Iterator[RuntimeEvent]:
        stream = self.client.events(decode=True, filters=EVENTS)
        return self._follow(stream, stop)

    def close(self) -> None:
        """Close the kept connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _follow(self, stream: Any, stop: threading.Event) -> Iterator[RuntimeEvent]:
        cancel = call_on(stop, stream.close)
        try:
            for event in stream:
                if stop.is_set():
                    return
                if found := self._event(event):
                    yield found
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, DockerException, OSError) as error:
            raise RuntimeUnavailable(f"Docker's event stream broke: {error}") from error
        finally:
            cancel()
            stream.close()
        raise RuntimeUnavailable("Docker's event stream ended")

    def _event(self, event: dict[str, Any]) -> RuntimeEvent | None:
        actor = event.get("Actor") or {}
        attributes = actor.get("Attributes") or {}
        when = event.get("timeNano", 0) / 1e9
        if event["Type"] == "image":
            return RuntimeEvent("image", event["Action"], actor.get("ID", ""), time=when)
        if attributes.get(labels.CLUSTER) != self.cluster:
            return None
        return RuntimeEvent("container", event["Action"], actor.get("ID", ""), attributes.get(labels.POD_UID, ""), when)


def reason(error: APIError) -> str:
    """Return the engine's own message, without the SDK's URL in front."""
    return str(error.explanation or error)


def read_output(stream: DockerStream, deadline: float) -> str:
    """Return all output of an exec, both streams in the order of their arrival. Raises TimeoutError."""
    text = bytearray()
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    while (data := stream.receive()) != b"":
        if data:
            text += b"".join(output.data for output in stream.split(data))
        elif not poll.poll(max(deadline - time.monotonic(), 0.0) * 1000):
            raise TimeoutError
    return text.decode(errors="replace")
