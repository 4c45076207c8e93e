"""What all tests share: recorded files, and the table of clients that a run of their tests compares or writes."""

from __future__ import annotations

import pytest
from compatibility import Compatibility
from goldens import Goldens


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record", action="store_true", help="write recorded files (tests/golden, docs/compatibility.md) from this run"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Compatibility(record=config.getoption("--record")))


@pytest.fixture(scope="session")
def goldens(pytestconfig: pytest.Config) -> Goldens:
    return Goldens(record=pytestconfig.getoption("--record"))
