"""kubectl exec, logs, attach, port-forward and cp, before and after the change from SPDY to WebSocket."""

from __future__ import annotations

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
