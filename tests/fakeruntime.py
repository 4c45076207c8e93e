"""A container runtime in memory: containers start at once, and end when a test or a signal says so."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

from kubelet.model import labels
from kubelet.model.runtime import (
    ContainerConfig,
    ExecResult,
    RuntimeContainer,
    RuntimeEvent,
    RuntimeFailure,
    RuntimeImage,
    RuntimeUnavailable,
    SandboxConfig,
)


class FakeRuntime:
    """Implements ContainerRuntime, thread-safe. ``heeds`` says which signals end a container; SIGKILL always does."""

    def __init__(self, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.clock = clock
        self.known: dict[str, RuntimeContainer] = {}
        self.plans: dict[str, ContainerConfig | SandboxConfig] = {}
        self.present: dict[str, RuntimeImage] = {}
        self.calls: list[str] = []
        self.heeds = {"SIGTERM"}
        self.handlers = {"", "runc"}
        self.away = False
        self.on_execute: Callable[[str, list[str]], ExecResult] = lambda id, command: ExecResult(0, "")
        self.on_pull: Callable[[str], None] = self._refuse_pull
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._streams: list[queue.SimpleQueue[RuntimeEvent | None]] = []

    # What a test does

    def end(self, container_id: str, exit_code: int = 0) -> None:
        """The container's process ends."""
        with self._lock:
            found = self.known[container_id]
            if not found.running:
                return
            now = self.clock()
            self.known[container_id] = replace(found, state="exited", exit_code=exit_code, finished=now, pid=0)
        self._tell("die", found)

    def go_away(self) -> None:
        self.away = True
        for stream in self._streams:
            stream.put(None)

    def called(self, container_id: str) -> str:
        return self.known[container_id].name

    # ContainerRuntime

    def version(self) -> dict[str, str]:
        self._check()
        return {"version": "0", "os": "linux", "arch": "amd64"}

    def containers(self) -> list[RuntimeContainer]:
        self._check()
        return list(self.known.values())

    def inspect(self, container_id: str) -> RuntimeContainer | None:
        self._check()
        return self.known.get(container_id)

    def create_sandbox(self, config: SandboxConfig) -> str:
        return self._create(config, sandbox=True)

    def create_container(self, config: ContainerConfig) -> str:
        return self._create(config, sandbox=False)

    def _create(self, config: ContainerConfig | SandboxConfig, *, sandbox: bool) -> str:
        self._check()
        if config.runtime not in self.handlers:
            raise RuntimeFailure(f"Unknown runtime specified {config.runtime}")
        with self._lock:
            number = next(self._numbers)
            container_id = f"id{number}"
            label = config.labels
            self.calls.append(f"create {label[labels.CONTAINER_NAME]}")
            self.plans[container_id] = config
            self.known[container_id] = RuntimeContainer(
                id=container_id,
                **labels.fields(label),
                created=self.clock(),
                image=config.image,
                image_id=f"sha256:{config.image}",
                ip=f"172.17.0.{number + 1}" if sandbox else "",
            )
        return container_id

    def start(self, container_id: str) -> None:
        self._check()
        with self._lock:
            found = self.known[container_id]
            self.calls.append(f"start {found.name}")
            self.known[container_id] = replace(found, state="running", started=self.clock(), pid=1)

    def signal(self, container_id: str, signal: str) -> None:
        self._check()
        self.calls.append(f"{signal} {self.called(container_id)}")
        if signal == "SIGKILL":
            self.end(container_id, 137)
        elif signal in self.heeds:
            self.end(container_id, 0)

    def remove(self, container_id: str) -> None:
        self._check()
        with self._lock:
            found = self.known.pop(container_id, None)
        if found:
            self.calls.append(f"remove {found.name}")
            self._tell("destroy", found)

    def image(self, reference: str) -> RuntimeImage | None:
        self._check()
        return self.present.get(reference)

    def images(self) -> list[RuntimeImage]:
        self._check()
        return list(self.present.values())

    def pull(self, reference: str, auth: dict[str, str] | None) -> None:
        self._check()
        self.on_pull(reference)

    def _refuse_pull(self, reference: str) -> None:
        raise RuntimeFailure(f"no registry has {reference}")

    def execute(self, container_id: str, command: list[str], timeout: float) -> ExecResult:
        return self.on_execute(container_id, command)

    def storage(self, container_id: str) -> int:
        return 0

    def log_tail(self, container_id: str, lines: int, limit: int) -> str:
        return "the last lines"

    def events(self, stop: threading.Event) -> Iterator[RuntimeEvent]:
        self._check()
        stream: queue.SimpleQueue[RuntimeEvent | None] = queue.SimpleQueue()
        self._streams.append(stream)
        return self._follow(stream, stop)

    def _follow(self, stream: queue.SimpleQueue[RuntimeEvent | None], stop: threading.Event) -> Iterator[RuntimeEvent]:
        while not stop.is_set():
            event = stream.get()
            if event is None:
                raise RuntimeUnavailable("the stream ended")
            yield event

    def _tell(self, action: str, found: RuntimeContainer) -> None:
        for stream in self._streams:
            stream.put(RuntimeEvent("container", action, found.id, found.pod_uid, self.clock()))

    def _check(self) -> None:
        if self.away:
            raise RuntimeUnavailable("the fake is away")
