"""A memory store's content as a file, for a server that stops and comes back: one JSON document, replaced whole.

The history is not in it: for watches and lists of the past it is as if the store had been compacted.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from apiserver.storage.protocol import Entry


class Content(NamedTuple):
    """What the file keeps. ``expiries`` are (seconds since the epoch, key, revision)."""

    revision: int
    entries: list[Entry]
    claims: dict[str, str]
    expiries: list[tuple[float, str, int]]


def write(file: Path, content: Content) -> None:
    """Write the file, readable by its owner alone, because Secrets are in it."""
    entries = [[entry.key, b64encode(entry.value).decode(), entry.revision] for entry in content.entries]
    document = orjson.dumps({**content._asdict(), "entries": entries})
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
            output.write(document)
        unfinished.replace(file)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def read(file: Path) -> Content | None:
    """Return the file's content, or None if there is no file yet; raises ValueError if it holds something else."""
    try:
        document: Any = orjson.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{file} does not hold a store's content: {error}") from error
    try:
        entries = [Entry(key, b64decode(value), revision) for key, value, revision in document["entries"]]
        expiries = [(when, key, revision) for when, key, revision in document["expiries"]]
        return Content(document["revision"], entries, document["claims"], expiries)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} does not hold a store's content: {error!r}") from error
