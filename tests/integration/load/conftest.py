"""An etcd for the tests that do not kill it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.served import Etcd


@pytest.fixture(scope="session")
def etcd() -> Iterator[Etcd]:
    # Not pytest's own directory: a unix socket's path may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="etcd-") as folder:
        server = Etcd(Path(folder))
        server.start()
        yield server
        server.kill()
