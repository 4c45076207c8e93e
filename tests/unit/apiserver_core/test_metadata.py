"""What the server writes into every object's metadata."""

from __future__ import annotations

import os
import uuid
from typing import Any

from apiserver.model.metadata import stamp


def uid() -> str:
    obj: dict[str, Any] = {"metadata": {"name": "a", "uid": "mine"}}
    stamp(obj)
    return str(obj["metadata"]["uid"])


def test_uids_are_random_uuids() -> None:
    made = [uid() for _ in range(1000)]
    assert len(set(made)) == 1000
    for text in made:
        parsed = uuid.UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 4, uuid.RFC_4122)


def test_two_processes_do_not_give_out_the_same() -> None:
    uid()  # the randomness for the next is here already
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, uid().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100).decode() != uid()
    os.close(reader)
    os.close(writer)
