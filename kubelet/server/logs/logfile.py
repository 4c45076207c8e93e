"""Read a container's log where Docker writes it: json-file logs, across rotations, without a gap or a repetition.

Docker's own followed stream (20.10) repeats and loses lines around a rotation, so the files are read here. What is
relied on: an entry is one line of JSON written at once; a rotation renames ``log`` to ``log.1``, ``log.1`` to ``log.2``
and so on, after the last entry was written; a renamed file never changes again. So a reader stays with the file that it
has open until that is finished, and finds the next by looking up its own inode among the names.
"""

from __future__ import annotations

import ctypes
import os
import select
from pathlib import Path
from types import TracebackType

from machinery.digits import is_number

_CHUNK = 1 << 18
# <sys/inotify.h>
_MODIFY, _MOVED_TO, _CREATE, _DELETE_SELF = 0x2, 0x80, 0x100, 0x400
# When the kernel grants no inotify instance: how often a followed log is looked at instead.
_WITHOUT_INOTIFY_SECONDS = 0.5


class LogFile:
    """A log being read, from its beginning or from its last ``tail`` entries. A context manager."""

    def __init__(self, path: Path, tail: int | None = None) -> None:
        self._path = path
        self._rest = b""  # the beginning of an entry whose end is not written yet
        self._fd = -1
        files = self._files()
        if not files:
            raise FileNotFoundError(f"no log at {path}")
        if tail is None:
            self._open(files[0])
        else:
            self._open_tail(files, tail)

    def __enter__(self) -> LogFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._fd)

    def read(self) -> list[bytes]:
        """Return the next entries, a bounded number of them, or none if all that is written has been read."""
        while True:
            data = os.read(self._fd, _CHUNK)
            if not data and self._is_rotated():
                # What was written between the two looks is here, and nothing more will come.
                data = os.read(self._fd, _CHUNK)
                if not data:
                    self._open_next()
                    continue
            if not data:
                return []
            *entries, self._rest = (self._rest + data).split(b"\n")
            if entries:
                return entries

    def _files(self) -> list[Path]:
        """Return the files of the log, the oldest first."""
        numbered = []
        for path in self._path.parent.glob(self._path.name + ".*"):
            number = path.name[len(self._path.name) + 1 :]
            if is_number(number):
                numbered.append((-int(number), path))
        return [path for _, path in sorted(numbered)] + ([self._path] if self._path.exists() else [])

    def _open(self, path: Path) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._rest = fd, b""

    def _open_tail(self, files: list[Path], tail: int) -> None:
        """Open the file in which the last ``tail`` entries begin, at the place."""
        for path in reversed(files):
            self._open(path)
            found, offset = _last_lines(self._fd, tail)
            os.lseek(self._fd, offset, os.SEEK_SET)
            tail -= found
            if tail <= 0:
                return

    def _is_rotated(self) -> bool:
        try:
            return self._path.stat().st_ino != os.fstat(self._fd).st_ino
        except FileNotFoundError:
            return False  # The file has been renamed, and the new one is not there yet.

    def _open_next(self) -> None:
        inode = os.fstat(self._fd).st_ino
        while True:
            files = self._files()
            inodes = [_inode(path) for path in files]
            # Rotated away altogether: the oldest that is left comes next.
            following = inodes.index(inode) + 1 if inode in inodes else 0
            if following >= len(files):
                return
            try:
                self._open(files[following])
            except FileNotFoundError:
                continue  # It was rotated once more meanwhile.
            if os.fstat(self._fd).st_ino == inodes[following]:
                return


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _last_lines(fd: int, wanted: int) -> tuple[int, int]:
    """Return how many of the wanted last lines the file has, and the offset at which they begin."""
    position = end = os.lseek(fd, 0, os.SEEK_END)
    if wanted <= 0:
        return 0, end
    breaks = 0
    while position > 0:
        size = min(_CHUNK, position)
        position -= size
        block = os.pread(fd, size, position)
        index = len(block)
        while (index := block.rfind(b"\n", 0, index)) >= 0:
            breaks += 1
            if breaks > wanted:
                return wanted, position + index + 1
    return breaks, 0


class FolderWatch:
    """An inotify watch on the log's folder, to wait for together with sockets. A context manager."""

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        events = _MODIFY | _MOVED_TO | _CREATE | _DELETE_SELF
        if self._fd >= 0 and libc.inotify_add_watch(self._fd, os.fsencode(folder), events) < 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> FolderWatch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def wait(self, poll: select.poll) -> list[tuple[int, int]]:
        """Wait until the folder changes or something else in ``poll`` happens; return the latter, as ``poll`` does."""
        if self._fd < 0:
            return poll.poll(_WITHOUT_INOTIFY_SECONDS * 1000)
        poll.register(self._fd, select.POLLIN)
        ready = poll.poll()
        if any(fd == self._fd for fd, _ in ready):
            os.read(self._fd, 65536)
        return [(fd, events) for fd, events in ready if fd != self._fd]
