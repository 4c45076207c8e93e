"""Write a payload into a directory so that a reader sees all of the old files or all of the new ones.

The layout is upstream's: the files stand in a directory with a time stamp, ``..data`` is a symbolic link to it, and
each name at the top is a link through ``..data``. One rename of ``..data`` changes everything at once.

The kubelet is root, and what it finds here may have been planted by a container (CVE-2017-1002102). So all work is done
relative to open directories and follows no link, and ``..data`` is believed only if it names a directory beside it.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from kubelet.volumes.payload import Payload, PayloadFile

DATA = "..data"
NEW_DATA = "..data_tmp"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # opening a FIFO must not block
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write(folder: Path, payload: Payload, group: int | None = None) -> bool:
    """Make the directory show exactly this payload. Return False if it did already.

    ``group`` is the pod's fsGroup, which then owns the files and may read them.
    """
    with _opened(folder) as root:
        current = _current(root)
        if current and _read(root, current) == {path: file.contents for path, file in payload.items()}:
            return False
        fresh = f"..{datetime.now(UTC):%Y_%m_%d_%H_%M_%S}.{os.urandom(5).hex()}"
        os.mkdir(fresh, 0o700, dir_fd=root)
        with _opened(fresh, root) as directory:
            _fill(directory, payload, group)
        _link(root, DATA, fresh)
        _link_names(root, {path.split("/")[0] for path in payload})
        if current:
            shutil.rmtree(current, dir_fd=root)
        return True


def is_written(folder: Path) -> bool:
    """Return True if the directory shows a payload, be it an empty one."""
    if not folder.is_dir():
        return False
    with _opened(folder) as root:
        return bool(_current(root))


@contextmanager
def _opened(path: Path | str, parent: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, _DIRECTORY, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _current(root: int) -> str:
    """Return the name of the directory that ``..data`` leads to, "" if there is none or the link is not ours."""
    name = _link_target(root, DATA)
    if not name.startswith("..") or name in ("..", DATA, NEW_DATA) or "/" in name:
        return ""
    return name if _is_directory(root, name) else ""


def _link_target(root: int, name: str) -> str:
    try:
        return os.readlink(name, dir_fd=root)
    except OSError:  # it does not exist, or is no link
        return ""


def _is_directory(root: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=root, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _read(root: int, directory: str) -> dict[str, bytes | None]:
    """Return the contents of the files below a directory by path; None for what is no regular file."""
    found: dict[str, bytes | None] = {}
    for parent, _, names, descriptor in os.fwalk(directory, dir_fd=root):
        for name in names:
            found[os.path.relpath(f"{parent}/{name}", directory)] = _read_file(descriptor, name)
    return found


def _read_file(parent: int, name: str) -> bytes | None:
    try:
        descriptor = os.open(name, _READ, dir_fd=parent)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read() if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def _fill(directory: int, payload: Payload, group: int | None) -> None:
    _set_directory_mode(directory, group)
    for path, file in payload.items():
        *folders, name = path.split("/")
        _write_below(directory, folders, name, file, group)


def _write_below(directory: int, folders: list[str], name: str, file: PayloadFile, group: int | None) -> None:
    if not folders:
        return _write_file(directory, name, file, group)
    if not _is_directory(directory, folders[0]):
        os.mkdir(folders[0], 0o700, dir_fd=directory)
    with _opened(folders[0], directory) as inner:
        _set_directory_mode(inner, group)
        return _write_below(inner, folders[1:], name, file, group)


def _write_file(directory: int, name: str, file: PayloadFile, group: int | None) -> None:
    descriptor = os.open(name, _CREATE, 0o600, dir_fd=directory)
    with os.fdopen(descriptor, "wb") as out:
        out.write(file.contents)
        if group is not None or file.owner is not None:
            os.fchown(descriptor, -1 if file.owner is None else file.owner, -1 if group is None else group)
        os.fchmod(descriptor, file.mode if group is None else file.mode | 0o440)


def _set_directory_mode(directory: int, group: int | None) -> None:
    if group is None:
        os.fchmod(directory, 0o755)
    else:
        os.fchown(directory, -1, group)
        os.fchmod(directory, 0o2755)


def _link_names(root: int, names: set[str]) -> None:
    for name in os.listdir(root):
        if not name.startswith("..") and name not in names:
            _remove(root, name)
    for name in sorted(names):
        if _link_target(root, name) != f"{DATA}/{name}":
            _remove(root, name)
            os.symlink(f"{DATA}/{name}", name, dir_fd=root)


def _link(root: int, name: str, target: str) -> None:
    """Make ``name`` a link to ``target`` in one step, whatever it was before."""
    _remove(root, NEW_DATA)
    os.symlink(target, NEW_DATA, dir_fd=root)
    if _is_directory(root, name):
        shutil.rmtree(name, dir_fd=root)
    os.rename(NEW_DATA, name, src_dir_fd=root, dst_dir_fd=root)


def _remove(root: int, name: str) -> None:
    """Remove an entry of the directory if it exists, but never what a link leads to."""
    if _is_directory(root, name):
        shutil.rmtree(name, dir_fd=root)
    elif name in os.listdir(root):
        os.unlink(name, dir_fd=root)
