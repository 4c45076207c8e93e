"""The supervisor's table of its child processes, as a file: only the supervisor writes it, every command reads it."""

from __future__ import annotations

import json
from typing import NamedTuple

from cluster.processes import Process, is_alive
from cluster.record import write_json
from cluster.settings import State


class Row(NamedTuple):
    name: str
    pid: int  # 0 if it does not run
    start: int  # clock ticks after boot
    since: float  # seconds since the epoch
    restarts: int
    last_end: str  # how it ended the last time, for the user
    failures: int = 0  # how many times in a row it ended soon after its start

    @property
    def runs(self) -> bool:
        return self.pid != 0 and is_alive(Process(self.pid, self.start))


def read(state: State) -> list[Row]:
    """Return the table; empty if no supervisor runs, or if the file is damaged (the next change rewrites it)."""
    try:
        return [Row(**row) for row in json.loads(state.children.read_text())]
    except (FileNotFoundError, ValueError, TypeError):
        return []


def write(state: State, rows: list[Row]) -> None:
    write_json(state.children, [row._asdict() for row in rows])
