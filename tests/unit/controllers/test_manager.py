from __future__ import annotations

import importlib

import pytest

from controllers.__main__ import arguments
from controllers.manager.manager import CONTROLLERS, selected
from machinery.durations import seconds


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["*"], list(CONTROLLERS)),
        (["*", "-scheduler"], [name for name in CONTROLLERS if name != "scheduler"]),
        (["scheduler", "namespace"], ["scheduler", "namespace-controller"]),
        (["*", "-garbagecollector"], [name for name in CONTROLLERS if name != "garbage-collector-controller"]),
        ([""], []),
    ],
)
def test_selected(asked: list[str], expected: list[str]) -> None:
    assert selected(asked) == expected


def test_an_unknown_controller_is_named() -> None:
    with pytest.raises(ValueError, match=r"no controller is called cronjob; there are .*scheduler"):
        selected(["*", "-cronjob"])


@pytest.mark.parametrize("place", CONTROLLERS.values())
def test_each_controller_is_there(place: str) -> None:
    module, _, cls = place.partition(":")
    assert hasattr(importlib.import_module(f"controllers.{module}"), cls)


@pytest.mark.parametrize(("text", "expected"), [("40", 40), ("40s", 40), ("1m", 60), ("500ms", 0.5), ("1h", 3600)])
def test_seconds(text: str, expected: float) -> None:
    assert seconds(text) == expected


def test_arguments() -> None:
    given = arguments(["--kubeconfig=k", "--node-monitor-grace-period=50s"])
    assert (given.controllers, given.node_monitor_grace_period) == ("*", 50)
