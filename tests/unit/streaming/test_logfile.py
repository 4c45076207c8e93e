"""A log that is written and rotated while it is read: every entry once, in order."""

from __future__ import annotations

import itertools
import select
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelet.server.logs.logfile import FolderWatch, LogFile


class Writer:
    """Writes and rotates as Docker's json-file driver does."""

    def __init__(self, path: Path, files: int = 3) -> None:
        self.path = path
        self._files = files
        self._numbers = itertools.count()
        self._file = path.open("ab", buffering=0)

    def write(self, count: int = 1) -> None:
        for _ in range(count):
            self._file.write(b"%d\n" % next(self._numbers))

    def rotate(self) -> None:
        self._file.close()
        for number in range(self._files - 1, 1, -1):
            older = self.path.with_name(f"{self.path.name}.{number - 1}")
            if older.exists():
                older.rename(self.path.with_name(f"{self.path.name}.{number}"))
        self.path.rename(self.path.with_name(f"{self.path.name}.1"))
        self._file = self.path.open("ab", buffering=0)

    def close(self) -> None:
        self._file.close()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path / "c-json.log")
    yield writer
    writer.close()


def read_all(log: LogFile) -> list[int]:
    found: list[int] = []
    while entries := log.read():
        found += map(int, entries)
    return found


def test_all_files_are_read_from_the_oldest(writer: Writer) -> None:
    for _ in range(3):
        writer.write(2)
        writer.rotate()
    writer.write(2)
    with LogFile(writer.path) as log:
        assert read_all(log) == [2, 3, 4, 5, 6, 7]
        assert log.read() == []


@pytest.mark.parametrize(
    ("tail", "expected"), [(0, []), (1, [4]), (2, [3, 4]), (4, [1, 2, 3, 4]), (99, [0, 1, 2, 3, 4])]
)
def test_the_tail_may_reach_into_older_files(writer: Writer, tail: int, expected: list[int]) -> None:
    writer.write(3)
    writer.rotate()
    writer.write(2)
    with LogFile(writer.path, tail) as log:
        assert read_all(log) == expected
        writer.write()
        assert read_all(log) == [5]


def test_the_tail_of_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"%0100d\n" % number for number in range(20_000)))
    for tail in (1, 5_000, 20_000, 30_000):
        with LogFile(path, tail) as log:
            assert read_all(log) == list(range(max(0, 20_000 - tail), 20_000))


def test_half_an_entry_waits_for_the_other_half(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"1\n2")
    with LogFile(path) as log, path.open("ab", buffering=0) as file:
        assert read_all(log) == [1]
        file.write(b"3\n")
        assert read_all(log) == [23]


def test_no_log_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LogFile(tmp_path / "log")


@given(st.lists(st.sampled_from(["write", "write", "rotate", "read"]), max_size=40))
def test_a_reader_that_keeps_up_misses_and_repeats_nothing(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    writer = Writer(tmp_path_factory.mktemp("log") / "log", files=50)
    written, found = 0, []
    with LogFile(writer.path) as log:
        for step in steps:
            if step == "write":
                writer.write()
                written += 1
            elif step == "rotate":
                writer.rotate()
            else:
                found += read_all(log)
        found += read_all(log)
    writer.close()
    assert found == list(range(written))


def test_a_reader_that_was_overtaken_goes_on_with_what_is_left(writer: Writer) -> None:
    writer.write()
    with LogFile(writer.path) as log:
        for _ in range(5):
            writer.write()
            writer.rotate()
        writer.write()
        # Its own file, which it has open, and then the oldest that is left.
        assert read_all(log) == [0, 1, 4, 5, 6]


def test_writing_and_rotating_wake_a_waiter(writer: Writer, run: Callable[..., Any]) -> None:
    with FolderWatch(writer.path.parent) as folder:
        for change in (writer.write, writer.rotate):
            waiting = run(folder.wait, select.poll())
            change()
            assert waiting.result() == []


def test_a_follower_beside_a_fast_writer(writer: Writer) -> None:
    def write() -> None:
        for number in range(3000):
            writer.write()
            if number % 500 == 499 and number < 2500:
                rotated.wait(10)
                rotated.clear()
                writer.rotate()

    rotated = threading.Event()
    found: list[Any] = []
    thread = threading.Thread(target=write)
    with FolderWatch(writer.path.parent) as folder, LogFile(writer.path) as log:
        thread.start()
        while len(found) < 3000:
            entries = read_all(log)
            found += entries
            rotated.set()
            if not entries:
                folder.wait(select.poll())
    thread.join()
    assert found == list(range(3000))
