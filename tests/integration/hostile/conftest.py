"""One server in this process for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from integration.hostile.server import Api


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    server = Api(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()
