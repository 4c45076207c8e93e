"""mount(2) and umount2(2) through libc: a process for each of them would cost more than the mount itself."""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

_MS_NOSUID, _MS_NODEV, _MS_BIND = 2, 4, 4096
_MNT_DETACH = 2
_ESCAPE = re.compile(rb"\\([0-7]{3})")  # mountinfo writes a space as \\040
_libc = ctypes.CDLL(None, use_errno=True)


class VolumeError(Exception):
    """A volume cannot be set up or removed; the message stands in a FailedMount event."""


def tmpfs(folder: Path, *, mode: int, size: int | None = None) -> None:
    """Mount a file system in memory on the directory, unless there is one already. ``size`` is in bytes."""
    if folder.is_mount():
        return
    options = f"mode={mode:o}" + (f",size={size}" if size else "")
    _mount("tmpfs", folder, "tmpfs", _MS_NOSUID | _MS_NODEV, options)


def bind(source: str, target: Path) -> None:
    _mount(source, target, "none", _MS_BIND, "")


def unmount(folder: Path) -> None:
    """Unmount at once, even if a process still uses the mount."""
    if _libc.umount2(os.fsencode(folder), _MNT_DETACH) != 0:
        code = ctypes.get_errno()
        raise VolumeError(f"cannot unmount {folder}: {os.strerror(code)}")


def mounts_below(folder: Path) -> list[Path]:
    """Return the mount points below a folder, the deepest first."""
    prefix = os.fsencode(folder) + b"/"
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    points = [_ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), line.split()[4]) for line in lines]
    found = [Path(os.fsdecode(point)) for point in points if point.startswith(prefix)]
    return sorted(found, key=lambda path: len(path.parts), reverse=True)


def _mount(source: str, target: Path, kind: str, flags: int, options: str) -> None:
    done = _libc.mount(
        source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode() or None
    )
    if done != 0:
        code = ctypes.get_errno()
        raise VolumeError(f"cannot mount {kind} on {target}: {os.strerror(code)}")
