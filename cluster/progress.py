"""Show the user what a command does: a line for each step, with its seconds, and the end of a log if one fails."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

WIDTH = 26


class Progress:
    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.began = time.monotonic()

    @contextmanager
    def step(self, name: str) -> Iterator[ProgressStep]:
        """Show and time a step: its name when it begins, its seconds and notes when it is done."""
        step = ProgressStep()
        began = time.monotonic()
        self.write(f"  {name:<{WIDTH}}")
        try:
            yield step
        except BaseException:
            self.write("failed\n")
            raise
        self.write(f"{time.monotonic() - began:5.2f} s  {', '.join(step.notes)}".rstrip() + "\n")

    def line(self, text: str) -> None:
        self.write(text + "\n")

    def write(self, text: str) -> None:
        self.out.write(text)
        self.out.flush()

    def seconds(self) -> float:
        return time.monotonic() - self.began


class ProgressStep:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def log_end(log: Path, lines: int = 8) -> str:
    """Return the last lines of a log; empty if there is none."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
