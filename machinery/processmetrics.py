"""The metrics ``process_*`` that Prometheus' client libraries have: processor time, memory, open files, start time.

A component of several processes is shown as one: the first process and its children are summed up. Memory is the
proportional set size, in which pages that processes share are counted once altogether.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from machinery import proc
from machinery.metrics import Metrics, Sample

_TICK = os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/stat behind the command's name.
_CPU, _CHILDREN_CPU, _START, _VIRTUAL = slice(11, 13), slice(13, 15), 19, 20


def add_process_metrics(metrics: Metrics, first: int | None = None) -> None:
    """Add the metrics: of this process, or of the process ``first`` and its children, including ended ones."""
    root = first or os.getpid()

    def family() -> Iterable[int]:
        return [root] if first is None else [root, *_children(root)]

    def cpu() -> float:
        ticks = sum(int(number) for pid in family() for number in _stat(pid)[_CPU])
        if first is not None:
            ticks += sum(map(int, _stat(root)[_CHILDREN_CPU]))
        return ticks / _TICK

    def virtual() -> float:
        return sum(int(_stat(pid)[_VIRTUAL]) for pid in family())

    def one(name: str, type: str, help: str, value: Callable[[], float]) -> None:
        metrics.read(name, type, help, (), lambda: [Sample((), value())])

    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    started = boot + int(_stat(root)[_START]) / _TICK
    one("process_cpu_seconds_total", "counter", "Processor time, of the user and of the system.", cpu)
    one("process_resident_memory_bytes", "gauge", "Memory.", lambda: sum(map(proc.memory, family())))
    one("process_virtual_memory_bytes", "gauge", "Address space.", virtual)
    one("process_open_fds", "gauge", "Open files and sockets.", lambda: sum(map(_open_files, family())))
    most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    one("process_max_fds", "gauge", "How many each process may open.", lambda: most_files)
    one("process_start_time_seconds", "gauge", "When it started, in seconds since 1970.", lambda: started)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _stat(pid: int) -> list[str]:
    return proc.stat(pid) or ["0"] * 50  # A process that has just ended counts as nothing.


def _open_files(pid: int) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return 0
