"""Puts a payload into a directory so that a reader sees all of the old files or all of the new ones.

Upstream's layout: the files stand in a directory with a time stamp, ``..data`` is a symbolic link to it, and each
name at the top is a link through ``..data``. One rename of ``..data`` changes everything at once.
"""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from kubelet.volumes.payload import Payload

DATA = "..data"
NEW_DATA = "..data_tmp"


def write(folder: Path, payload: Payload, group: int | None = None) -> bool:
    """Makes the directory show exactly this payload; tells whether anything had to change."""
    current = _current(folder)
    if current is not None and _read(current) == {path: file.contents for path, file in payload.items()}:
        return False
    fresh = folder / f"..{datetime.now(UTC):%Y_%m_%d_%H_%M_%S}.{os.urandom(5).hex()}"
    fresh.mkdir(mode=0o755)
    fresh.chmod(0o755)
    _fill(fresh, payload, group)
    link = folder / NEW_DATA
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    link.rename(folder / DATA)
    _link_names(folder, {path.split("/")[0] for path in payload})
    if current is not None:
        shutil.rmtree(current)
    return True


def is_written(folder: Path) -> bool:
    return _current(folder) is not None


def _current(folder: Path) -> Path | None:
    link = folder / DATA
    return link.resolve() if link.is_symlink() and link.exists() else None


def _read(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _fill(folder: Path, payload: Payload, group: int | None) -> None:
    for path, file in payload.items():
        target = folder / path
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(file.contents)
            mode = file.mode if group is None else file.mode | 0o440
            if group is not None or file.owner is not None:
                os.fchown(descriptor, -1 if file.owner is None else file.owner, -1 if group is None else group)
            os.fchmod(descriptor, mode)
    if group is not None:
        for inner in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
            os.chown(inner, -1, group)
            inner.chmod(0o2775)


def _link_names(folder: Path, names: set[str]) -> None:
    for entry in folder.iterdir():
        if not entry.name.startswith("..") and entry.name not in names:
            entry.unlink()
    for name in sorted(names):
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(f"{DATA}/{name}")
