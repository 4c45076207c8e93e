"""The master and its workers, as processes of their own; and what is done once for a listening socket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from apiserver.serving.server import bind, processors_of

PROGRAM = """
import logging, os, sys, time
from apiserver.config import Config
from apiserver.serving import server

class App:
    request_timeout = 5.0
    def __init__(self, how): self.how = how
    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/hang":
            # The next turn of the main loop never ends.
            WORKERS[0]._turn = lambda seconds: time.sleep(1000)
            os.eventfd_write(WORKERS[0]._wakeup, 1)
        text = str(os.getpid()).encode()
        start_response("200 OK", [("Content-Length", str(len(text)))])
        return [text]
    def start(self, slot):
        if self.how == "cannot start": raise RuntimeError("no store")
    def streams_body(self, environ): return False
    def end_streams(self): pass
    def stop(self): pass
    def forget(self, slot): print("forgot", slot, flush=True)

WORKERS = []
class Worker(server.Worker):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        WORKERS.append(self)
server.Worker = Worker
server.HANG_TIMEOUT, server.HANG_CHECK_PERIOD, server.GRACE = 2.0, 0.1, 0.5
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
sys.modules["apiserver.serving.worker"].BEAT = 0.2
sys.exit(server.serve(Config(secure_port=0, workers=2), App(sys.argv[1])))
"""


class Served:
    """The program's process, and the lines that it prints."""

    def __init__(self, how: str = "") -> None:
        self.process = subprocess.Popen([sys.executable, "-c", PROGRAM, how], stdout=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        wait_until(lambda: any(line.startswith("serving on") for line in self.lines))
        self.url = next(line for line in self.lines if line.startswith("serving on")).split()[-1]

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line.strip())

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def ask(self, path: str = "/") -> int:
        with urlopen(self.url + path, timeout=5) as answer:
            return int(answer.read())

    def close(self) -> None:
        self.process.kill()
        self.process.wait(5)
        self._reader.join(5)
        assert self.process.stdout
        self.process.stdout.close()


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.close()


def wait_until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_a_killed_worker_is_replaced_and_a_stop_is_clean(served: Served) -> None:
    first = served.ask()
    assert first in served.workers()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: f"worker {first} ended: SIGKILL" in served.lines)
    wait_until(lambda: len(served.workers()) == 2 and first not in served.workers())
    wait_until(lambda: any(line.startswith("forgot ") for line in served.lines))
    assert served.ask() in served.workers()
    workers = served.workers()
    served.process.terminate()
    assert served.process.wait(5) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_a_worker_whose_main_loop_hangs_is_killed(served: Served) -> None:
    hanging = served.ask("/hang")
    wait_until(lambda: f"worker {hanging} hangs and is killed" in served.lines)
    wait_until(lambda: len(served.workers()) == 2 and hanging not in served.workers())


def test_workers_stop_when_their_master_is_killed(served: Served) -> None:
    served.ask()
    workers = served.workers()
    served.process.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def test_a_worker_that_cannot_start_ends_the_server() -> None:
    served = Served("cannot start")
    assert served.process.wait(10) == 3
    served.close()
    assert "RuntimeError: no store" in served.lines


def test_a_port_that_is_in_use_is_waited_for() -> None:
    owner = socket.create_server(("127.0.0.1", 0))
    port = owner.getsockname()[1]
    threading.Timer(0.3, owner.close).start()
    with bind("127.0.0.1", port) as listener:
        assert listener.getsockname()[1] == port


@pytest.mark.parametrize(
    ("slot", "workers", "available", "wanted"),
    [
        (0, 2, {0, 1}, [0]),
        (1, 2, {0, 1}, [1]),
        (3, 2, {0, 1}, [1]),  # a successor
        (0, 2, {5, 2, 9, 7}, [2, 7]),
        (1, 2, {5, 2, 9, 7}, [5, 9]),
        (0, 1, {0, 1, 2}, [0, 1, 2]),
        (0, 4, {0, 1}, [0]),
        (3, 4, {0, 1}, [0, 1]),
        (1, 2, {6}, [6]),
    ],
)
def test_workers_share_the_processors(slot: int, workers: int, available: set[int], wanted: list[int]) -> None:
    assert processors_of(slot, workers, available) == wanted
