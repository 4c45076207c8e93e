"""Processes as /proc shows them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import processes
from cluster.processes import Process
from cluster.settings import STATE_VARIABLE
from machinery import proc


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Process]:
    child = subprocess.Popen(["sleep", "100"], env={**os.environ, STATE_VARIABLE: str(tmp_path)})
    ticks = processes.start_ticks(child.pid)
    assert ticks is not None
    while not Path(f"/proc/{child.pid}/environ").read_bytes():
        pass  # the kernel fills it in last of all, after Popen has returned
    yield Process(child.pid, ticks)
    child.kill()
    child.wait()


def test_a_process_is_its_id_and_its_start(sleeper: Process) -> None:
    assert processes.is_alive(sleeper)
    assert not processes.is_alive(sleeper._replace(start=sleeper.start - 1))
    assert abs(processes.started_at(sleeper) - time.time()) < 60


def test_ours_are_found_by_their_environment(sleeper: Process, tmp_path: Path) -> None:
    assert processes.marked()[sleeper] == str(tmp_path)
    assert os.getpid() not in {process.pid for process in processes.marked()}


def test_a_signal_never_reaches_a_later_process_with_the_same_id(sleeper: Process) -> None:
    processes.send(sleeper._replace(start=sleeper.start - 1), signal.SIGKILL)
    assert not processes.wait_gone(sleeper, 0.05)


def test_ends_and_waits(sleeper: Process) -> None:
    processes.end([sleeper])
    assert not processes.is_alive(sleeper)


def test_memory_and_family_of_this_process() -> None:
    assert proc.memory(os.getpid()) > 1_000_000
    child = subprocess.Popen(["sleep", "100"])
    try:
        assert child.pid in processes.children_of([os.getpid()])
    finally:
        child.kill()
        child.wait()
