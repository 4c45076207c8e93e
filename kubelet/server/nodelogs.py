"""GET /logs/…: the node's own log files, as a web server shows a folder (upstream: http.FileServer on /var/log)."""

from __future__ import annotations

import html
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from machinery.errors import NotFound

ROOT = Path("/var/log")


def find(path: str, root: Path = ROOT) -> Path:
    """The file or folder that a path below /logs/ means; raises NotFound, also for what leads out of the root."""
    root = root.resolve()
    found = (root / path.lstrip("/")).resolve()
    if not found.is_relative_to(root) or not (found.is_dir() or found.is_file()):
        raise NotFound("404 page not found")
    return found


def listing(folder: Path) -> str:
    """A page of links to what is in a folder."""
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in folder.iterdir())
    links = "".join(f'<a href="{quote(name)}">{html.escape(name)}</a>\n' for name in names)
    return f"<!doctype html>\n<pre>\n{links}</pre>\n"


def open_file(path: Path) -> BinaryIO:
    """Raises NotFound when the file has gone meanwhile."""
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise NotFound("404 page not found") from None
