"""Control groups of both versions, as files of a made-up machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kubelet.model.streaming import ContainerUsage
from kubelet.node import cgroups, machine
from kubelet.node.cgroups import usage

V1 = "9:name=systemd:/docker/abc\n4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n0::/docker/abc\n"
V2 = "0::/system.slice/docker-abc.scope\n"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    def write(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    write("proc/1/cgroup", V1)
    write("sys/cpuacct/docker/abc/cpuacct.usage", "27300499\n")
    write("sys/memory/docker/abc/memory.usage_in_bytes", "5000000\n")
    write("sys/memory/docker/abc/memory.stat", "inactive_file 1\ntotal_inactive_file 2000000\n")
    write("proc/2/cgroup", V2)
    write("sys/system.slice/docker-abc.scope/cpu.stat", "usage_usec 1234\nuser_usec 1000\n")
    write("sys/system.slice/docker-abc.scope/memory.current", "700\n")
    write("sys/system.slice/docker-abc.scope/memory.stat", "anon 5\ninactive_file 900\n")
    write("proc/3/cgroup", "0::/../../docker-abc.scope\n")
    write("proc/4/cgroup", "0::/gone\n")
    return tmp_path


@pytest.mark.parametrize(
    ("pid", "expected"),
    [
        (1, ContainerUsage(27300499, 5000000, 3000000)),
        (2, ContainerUsage(1234000, 700, 0)),
        (3, None),  # another view of the groups than this process has
        (4, None),
        (5, None),
    ],
)
def test_versions(made: Path, pid: int, expected: ContainerUsage | None) -> None:
    assert usage(pid, made / "sys", made / "proc") == expected


def test_this_machine() -> None:
    before = machine.cpu_seconds()
    assert before > 0
    assert 1 << 20 < machine.memory_in_use() < machine.memory()
    found = cgroups.usage(os.getpid())
    assert found is None or found.nanoseconds > 0
