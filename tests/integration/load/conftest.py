"""An etcd for the tests that do not kill it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from integration.served import Etcd, running_etcd


@pytest.fixture(scope="session")
def etcd() -> Iterator[Etcd]:
    with running_etcd() as server:
        yield server
