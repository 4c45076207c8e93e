"""A small cluster for clients: the API server in memory, the controllers, and a kubelet on real Docker.

Its processes get the command lines that the launcher gives them, on ports of their own. There is no proxy, so no
iptables: it may run beside a whole cluster, and starts in three seconds.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from cluster import components, images, kubeconfigs, leftovers, pki
from cluster.components import Component
from cluster.docker import Engine
from cluster.record import ClusterRecord, new_id
from cluster.settings import API_PORT, REPOSITORY, State
from machinery.client import Client
from machinery.objects import get_condition
from machinery.resources import NODES

NODE = "clients-node"
SECONDS = 30.0


class ControlPlane:
    """Started by its constructor and ready after it; ``stop`` leaves nothing behind."""

    def __init__(self, folder: Path) -> None:
        engine = Engine()
        images.ensure(engine)
        self.state = State(folder)
        self.record = ClusterRecord(new_id(), NODE, engine.bridge_gateway(), engine.bridge_subnet())
        for path in (self.state.logs, self.state.kubelet, self.state.kubeconfigs):
            path.mkdir(parents=True)
        pki.ensure(self.state, NODE, self.record.node_ip)
        kubeconfigs.write_all(self.state)
        api, kubelet, controllers_health, kubelet_health = free_ports(4)
        self.url = f"https://127.0.0.1:{api}"
        for path in (self.state.kubeconfig, *self.state.kubeconfigs.iterdir()):
            path.write_text(path.read_text().replace(f":{API_PORT}", f":{api}"))
        self._processes: list[subprocess.Popen[bytes]] = []
        # Of a flag that stands twice the last counts.
        self._start(
            components.apiserver(self.state, self.record),
            "--etcd-servers=memory", "--workers=1", f"--secure-port={api}",
        )  # fmt: skip
        self._await(f"{self.url}/readyz")
        self._start(
            components.controllers(self.state, self.record), f"--healthz-bind-address=127.0.0.1:{controllers_health}"
        )
        self._start(
            components.kubelet(self.state, self.record),
            f"--port={kubelet}", f"--healthz-bind-address=127.0.0.1:{kubelet_health}",
        )  # fmt: skip
        self._await_node()

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.state.kubeconfig

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            process.wait(SECONDS)
        leftovers.remove_containers(Engine(), only=self.record.id)
        leftovers.unmount_below(self.state.root)

    def log(self) -> str:
        """What the processes said, for a failure's report."""
        return "\n".join(f"== {path.stem}\n{path.read_text()}" for path in sorted(self.state.logs.iterdir()))

    def _start(self, component: Component, *flags: str) -> None:
        with (self.state.logs / f"{component.name}.log").open("wb") as log:
            argv = [*component.argv, *flags]
            self._processes.append(subprocess.Popen(argv, cwd=REPOSITORY, stdout=log, stderr=log))

    def _await(self, url: str) -> None:
        context = ssl.create_default_context(cafile=self.state.pki / "ca.crt")

        def answers() -> bool:
            try:
                with urllib.request.urlopen(url, timeout=5, context=context):
                    return True
            except (OSError, http.client.HTTPException):
                return False

        self._wait(answers)

    def _await_node(self) -> None:
        client = Client.from_kubeconfig(self.kubeconfig, user_agent="tests")

        def is_ready() -> bool:
            nodes: list[Any] = client.list(NODES)["items"]
            return any((get_condition(node, "Ready") or {}).get("status") == "True" for node in nodes)

        self._wait(is_ready)

    def _wait(self, condition: Any) -> None:
        """Asks until it is so: a process that starts gives no event to wait for."""
        deadline, pause = time.monotonic() + SECONDS, threading.Event()
        while not condition():
            ended = [process.args for process in self._processes if process.poll() is not None]
            assert not ended and time.monotonic() < deadline, f"{ended} {self.log()}"
            pause.wait(0.02)


def free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports
