"""One cluster a machine, and who had it last."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cluster import lock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def test_only_one_can_hold_it(path: Path) -> None:
    with lock.acquire("/a", "id-a", path):
        with pytest.raises(lock.LockHeld):
            lock.acquire("/b", "id-b", path)
        holder = lock.holder(path)
        assert holder is not None
        assert (holder.state, holder.id, holder.supervisor.pid) == ("/a", "id-a", os.getpid())
    lock.acquire("/b", "id-b", path).close()
    owner = lock.owner(path)
    assert owner is not None and owner.id == "id-b"


def test_a_dead_owner_is_remembered_but_holds_nothing(path: Path) -> None:
    lock.acquire("/a", "id-a", path).close()
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "start": facts["start"] - 1}))  # the id was given to another process since
    assert lock.owner(path) is not None
    assert lock.holder(path) is None


def test_an_owner_before_the_last_boot_is_nobody(path: Path) -> None:
    lock.acquire("/a", "id-a", path).close()
    path.write_text(json.dumps({**json.loads(path.read_text()), "boot": "another"}))
    assert lock.owner(path) is None


def test_no_cluster_ever_ran(path: Path) -> None:
    assert lock.owner(path) is None
    assert lock.holder(path) is None
