"""The demo's operator, made with kopf, runs as it is against the plugin's server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

OPERATOR = Path(__file__).parents[3] / "demo" / "operator"


def test_the_operator_and_its_tests(run: Callable[..., pytest.RunResult]) -> None:
    run(f"--rootdir={OPERATOR}", "-c", str(OPERATOR / "pytest.ini"), str(OPERATOR)).assert_outcomes(passed=4)
