"""The supervisor with small stand-ins for components, as real processes."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from cluster import table
from cluster.processes import Process, is_alive, start_ticks, wait_gone
from cluster.settings import REPOSITORY, State

SUPERVISE = """
import sys
from pathlib import Path
from cluster import supervisor
from cluster.components import Component
from cluster.settings import State
supervisor.STOP_SECONDS = 1.0  # instead of ten
folder = Path(sys.argv[1])
table = [Component(name, ['sh', '-c', script], str(folder), '') for name, script in zip(sys.argv[2::2], sys.argv[3::2])]
supervisor.Supervisor(State(folder), table).run()
"""

T = TypeVar("T")
Supervise = Callable[..., "Running"]


class Running:
    def __init__(self, state: State, **scripts: str) -> None:
        state.logs.mkdir()
        self.state = state
        words = [word for pair in scripts.items() for word in pair]
        self.process = subprocess.Popen([sys.executable, "-c", SUPERVISE, str(state.root), *words], cwd=REPOSITORY)

    def row(self, name: str, accept: Callable[[table.Row], bool] = lambda row: row.runs) -> table.Row:
        """The row of a component, as soon as it is accepted."""
        return eventually(lambda: next((r for r in table.read(self.state) if r.name == name and accept(r)), None))

    def log(self, name: str) -> str:
        path = self.state.logs / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def log_has(self, name: str, text: str) -> bool:
        return text in self.log(name)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(30)


def eventually(ask: Callable[[], T | None], seconds: float = 20) -> T:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.01)
    raise AssertionError("it did not become so in time")


def is_called(pid: int, name: str) -> bool:
    return Path(f"/proc/{pid}/comm").read_text() == f"{name}\n"


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Supervise]:
    started: list[Running] = []

    def start(**scripts: str) -> Running:
        started.append(Running(State(tmp_path), **scripts))
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            running.stop()


def test_starts_all_and_stops_them_in_reverse_order(supervise: Supervise, tmp_path: Path) -> None:
    note = "trap 'echo {0} >> order; exit 0' TERM; echo up; sleep 100 & wait"
    running = supervise(etcd=note.format("etcd"), apiserver=note.format("apiserver"), proxy=note.format("proxy"))
    for name in ("etcd", "apiserver", "proxy"):
        eventually(partial(running.log_has, name, "up"))
    running.stop()
    assert running.process.returncode == 0
    assert (tmp_path / "order").read_text().split() == ["proxy", "apiserver", "etcd"]
    assert table.read(running.state) == []


def test_starts_again_what_is_killed(supervise: Supervise) -> None:
    running = supervise(etcd="exec sleep 100")
    first = running.row("etcd")
    os.kill(first.pid, signal.SIGKILL)
    second = running.row("etcd", lambda row: row.runs and row.pid != first.pid)
    assert second.restarts == 1
    assert second.last_end == "was killed by SIGKILL"


def test_a_table_that_cannot_be_written_ends_nothing_and_is_written_later(supervise: Supervise) -> None:
    running = supervise(etcd="echo up; exec sleep 100")
    first = running.row("etcd")
    eventually(lambda: running.log("etcd") == "up\n")
    table_path = running.state.children
    in_the_way = table_path.with_name(f".{table_path.name}.{running.process.pid}")  # stands for a full disk
    in_the_way.mkdir()
    os.kill(first.pid, signal.SIGKILL)
    eventually(lambda: running.log("etcd") == "up\nup\n")
    assert running.process.poll() is None
    in_the_way.rmdir()
    assert running.row("etcd", lambda row: row.runs and row.pid != first.pid).restarts == 1


def test_waits_longer_before_each_new_start(supervise: Supervise) -> None:
    running = supervise(etcd="date +%s%N; exit 7")
    running.row("etcd", lambda row: row.restarts >= 4)
    starts = [int(line) / 1e9 for line in running.log("etcd").split()]
    waits = [after - before for before, after in itertools.pairwise(starts)]
    assert waits[0] >= 0.1 and waits[1] >= 0.2 and waits[2] >= 0.4
    assert running.row("etcd", lambda row: True).last_end == "exited with 7"


def test_a_component_that_dies_takes_its_workers_along(supervise: Supervise) -> None:
    running = supervise(apiserver="sleep 100 & echo $!; wait")
    row = running.row("apiserver")
    worker = int(eventually(lambda: running.log("apiserver").strip()))
    ticks = start_ticks(worker)
    assert ticks is not None
    os.kill(row.pid, signal.SIGKILL)
    assert wait_gone(Process(worker, ticks), 10)


def test_nothing_is_left_when_the_supervisor_itself_is_killed(supervise: Supervise) -> None:
    running = supervise(etcd="exec sleep 100", kubelet="exec sleep 100")
    rows = [running.row("etcd"), running.row("kubelet")]
    # Their parent's death is only signalled once setpriv has run.
    for row in rows:
        eventually(partial(is_called, row.pid, "sleep"))
    running.stop(signal.SIGKILL)
    for row in rows:
        assert wait_gone(Process(row.pid, row.start), 10)


def test_a_component_that_does_not_stop_is_killed(supervise: Supervise) -> None:
    running = supervise(etcd="trap '' TERM; echo up; while :; do sleep 1; done")
    eventually(lambda: "up" in running.log("etcd"))
    row = running.row("etcd")
    running.stop()
    assert not is_alive(Process(row.pid, row.start))


def test_a_program_that_is_not_there_is_named_in_its_log(supervise: Supervise) -> None:
    running = supervise(etcd="exec /nonexistent/etcd")
    eventually(lambda: "/nonexistent/etcd: not found" in running.log("etcd"))
