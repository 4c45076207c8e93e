"""Beside the tests' own fixtures: the table of clients that a run of their tests compares or writes."""

from __future__ import annotations

import pytest
from compatibility import Compatibility


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite-compatibility", action="store_true", help="write docs/compatibility.md from this run of all clients"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Compatibility(rewrite=config.getoption("--rewrite-compatibility")))
