"""Start an etcd and an API server for the benchmark, as the cluster starts them, without Docker, node and root."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import requests
import urllib3

from cluster import kubeconfigs, pki
from cluster.components import Component, apiserver, etcd
from cluster.record import ClusterRecord
from cluster.settings import STATE_VARIABLE, State
from cluster.supervisor import environment

START_SECONDS = 30.0
POLL_SECONDS = 0.02  # there is no event to wait for when a port opens


class RunningServer(NamedTuple):
    """An API server's URL, an administrator's token, and the process ids of etcd and API server."""

    server: str
    token: str
    pids: tuple[int, ...]


@contextmanager
def servers() -> Iterator[RunningServer]:
    """Run both until the end of the block. Their state is in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        state = State(Path(folder))
        for path in (state.logs, state.etcd, state.kubeconfigs):
            path.mkdir()
        known = ClusterRecord("bench", "bench", "127.0.0.2", "")
        pki.ensure(state, known.node, known.node_ip)
        kubeconfigs.write_all(state)
        port = free_port()
        api = apiserver(state, known)
        parts = [etcd(state), api._replace(argv=[*api.argv, f"--secure-port={port}"])]  # of two flags the last counts
        pids = tuple(stack.enter_context(running(part, state)).pid for part in parts)
        started = RunningServer(f"https://127.0.0.1:{port}", state.tokens.read_text().split(",", 1)[0], pids)
        wait_ready(started, state)
        yield started


@contextmanager
def running(part: Component, state: State) -> Iterator[subprocess.Popen[bytes]]:
    """Run one component as the supervisor does, until the end of the block, so that no cluster takes it for its own."""
    own = {name: value for name, value in environment(state).items() if name != STATE_VARIABLE}
    with (state.logs / f"{part.name}.log").open("wb") as log:
        process = subprocess.Popen(part.argv, cwd=part.folder, env=own, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_ready(started: RunningServer, state: State) -> None:
    """Wait until the API server is ready. Raises TimeoutError with its log."""
    urllib3.disable_warnings()
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if requests.get(f"{started.server}/readyz", verify=False, timeout=5).ok:
                return
        except requests.ConnectionError:
            pass  # it does not listen yet
        if time.monotonic() > deadline:
            raise TimeoutError(f"the API server is not ready:\n{(state.logs / 'apiserver.log').read_text()}")
        time.sleep(POLL_SECONDS)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
