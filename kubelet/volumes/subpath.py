"""subPath: a part of a volume, mounted so that no symbolic link in the volume can lead out of it.

The volume's contents belong to the pod and may change under our hands. So the path is walked one component at a
time with open file descriptors, and what the last one refers to is bind-mounted in a place of our own, which is what
the runtime is then given. (Upstream: ``doBindSubPath``.)
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from kubelet.volumes import mounting
from kubelet.volumes.mounting import VolumeError
from machinery.errors import quote


def bind(volume: Path, sub_path: str, target: Path) -> None:
    """Mount ``volume/sub_path`` on ``target``; a directory that does not exist is made."""
    for point in mounting.mounts_below(target.parent):
        if point == target:  # of the container's last attempt
            mounting.unmount(target)
    descriptor = _open_inside(volume, sub_path)
    try:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            target.mkdir(mode=0o755, parents=True, exist_ok=True)
        else:
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            target.touch()
        mounting.bind(f"/proc/{os.getpid()}/fd/{descriptor}", target)
    finally:
        os.close(descriptor)


def _open_inside(volume: Path, sub_path: str) -> int:
    """Open a path in a volume and return its descriptor, following no link.

    The links that our own atomic writer makes are resolved first. Links that lead out of the volume are refused.
    """
    root = volume.resolve()
    wanted = Path(os.path.realpath(root / sub_path))  # of a loop of links, which is refused below, it makes no error
    if not wanted.is_relative_to(root):
        raise VolumeError(f"subPath {quote(sub_path)} leads out of the volume")
    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    for part in wanted.relative_to(root).parts:
        try:
            inner = _step(descriptor, part)
        except OSError as error:
            raise VolumeError(f"subPath {quote(sub_path)} cannot be opened: {error.strerror}") from error
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


def _step(parent: int, part: str) -> int:
    try:
        inner = os.open(part, os.O_PATH | os.O_NOFOLLOW, dir_fd=parent)
    except FileNotFoundError:
        mode = stat.S_IMODE(Path(f"/proc/self/fd/{parent}").stat().st_mode)
        os.mkdir(part, mode, dir_fd=parent)
        inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        os.fchmod(inner, mode)
    if stat.S_ISLNK(os.fstat(inner).st_mode):
        os.close(inner)
        raise VolumeError("a symbolic link appeared in the volume while it was being mounted")
    return inner
