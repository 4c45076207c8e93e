"""GET /logs/…: the node's own log files, as a web server shows a folder (upstream: http.FileServer on /var/log)."""

from __future__ import annotations

import html
import os
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from machinery.errors import NotFound

ROOT = Path("/var/log")


def find(path: str, root: Path = ROOT) -> Path:
    """Return the file or folder that a path below /logs/ means. Raises NotFound, also for a path out of the root."""
    root = root.resolve()
    found = (root / path.lstrip("/")).resolve()
    if not found.is_relative_to(root) or not (found.is_dir() or found.is_file()):
        raise NotFound("404 page not found")
    return found


def listing(folder: Path, root: Path = ROOT) -> str:
    """Return a page of links to what is in a folder."""
    descriptor = _open_below(root, folder, os.O_DIRECTORY)
    try:
        with os.scandir(descriptor) as entries:
            names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in entries)
    finally:
        os.close(descriptor)
    links = "".join(f'<a href="{quote(name)}">{html.escape(name)}</a>\n' for name in names)
    return f"<!doctype html>\n<pre>\n{links}</pre>\n"


def open_file(path: Path, root: Path = ROOT) -> BinaryIO:
    """Raise NotFound when the file has gone meanwhile, or is another one."""
    return os.fdopen(_open_below(root, path), "rb")


def _open_below(root: Path, path: Path, flags: int = 0) -> int:
    """Open what ``find`` found, and look where it really is.

    A pod that has mounted the folder may have put a link in the place of a directory meanwhile.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | flags)
    except OSError:
        raise NotFound("404 page not found") from None
    if Path(f"/proc/self/fd/{descriptor}").readlink().is_relative_to(root.resolve()):
        return descriptor
    os.close(descriptor)
    raise NotFound("404 page not found")
