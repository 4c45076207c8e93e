"""Recorded files that tests compare with, and the one switch that records them anew: ``pytest --record``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Goldens:
    """Compare what a test computed with the file that holds what it should be."""

    record: bool  #: whether the files are written anew first

    def compare(self, text: str, file: Path) -> None:
        """Raise AssertionError unless the file holds this text."""
        if self.record:
            file.write_text(text)
        assert text == file.read_text()
