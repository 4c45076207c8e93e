"""kubectl exec, logs, attach, port-forward and cp, before and after the change from SPDY to WebSocket."""

from __future__ import annotations

import hashlib
import os
import time

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.docker
Pod = Callable[..., str]


@pytest.fixture(scope="module")
def sleeper(host: Any, api: Any) -> str:
    api.add_pod(host.start("sleeper", ["sleep", "infinity"]))
    return "sleeper"


def test_exec_gives_output_and_success(kubectl: Any, sleeper: str) -> None:
    done = kubectl.run("exec", sleeper, "--", "echo", "hello", "world")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"hello world\n", b"")


def test_exec_keeps_stdout_and_stderr_apart_and_tells_the_exit_code(kubectl: Any, sleeper: str) -> None:
    done = kubectl.run("exec", sleeper, "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert done.returncode == 3
    assert done.stdout == b"out\n"
    assert done.stderr == b"err\ncommand terminated with exit code 3\n"


def test_exec_passes_stdin_and_its_end(kubectl: Any, sleeper: str) -> None:
    done = kubectl.run("exec", "-i", sleeper, "--", "sh", "-c", "cat; echo end", stdin=b"some\ninput\n")
    assert (done.returncode, done.stdout) == (0, b"some\ninput\nend\n")


def test_exec_of_an_unknown_command_says_so(kubectl: Any, sleeper: str) -> None:
    done = kubectl.run("exec", sleeper, "--", "no-such-command")
    assert done.returncode == 1
    assert b"no-such-command" in done.stderr and b"executable file not found in $PATH" in done.stderr
    assert done.stdout == b""


def test_exec_of_much_output_loses_nothing(kubectl: Any, sleeper: str) -> None:
    megabytes = 100
    script = f"dd if=/dev/zero bs=1M count={megabytes} 2>/dev/null"
    started = time.monotonic()
    done = kubectl.run("exec", sleeper, "--", "sh", "-c", script, timeout=120)
    print(f"{megabytes / (time.monotonic() - started):.0f} MB/s")
    assert done.returncode == 0
    assert len(done.stdout) == megabytes << 20


def test_exec_of_much_input_loses_nothing(kubectl: Any, sleeper: str) -> None:
    data = os.urandom(1 << 20) * 100
    started = time.monotonic()
    done = kubectl.run("exec", "-i", sleeper, "--", "md5sum", stdin=data, timeout=120)
    print(f"{100 / (time.monotonic() - started):.0f} MB/s")
    assert done.stdout.split()[0].decode() == hashlib.md5(data).hexdigest()


def test_exec_of_an_echo_of_much_input(kubectl: Any, sleeper: str) -> None:
    data = os.urandom(1 << 20) * 20
    done = kubectl.run("exec", "-i", sleeper, "--", "cat", stdin=data, timeout=120)
    assert done.stdout == data


def test_exec_of_a_process_that_does_not_read(kubectl: Any, sleeper: str) -> None:
    done = kubectl.run("exec", "-i", sleeper, "--", "sh", "-c", "exit 7", stdin=os.urandom(8 << 20))
    assert done.returncode == 7
