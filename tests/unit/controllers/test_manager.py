from __future__ import annotations

import dataclasses
import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from controllers.__main__ import arguments
from controllers.manager import manager as managers
from controllers.manager.identities import log_missing_rule
from controllers.manager.manager import Manager
from controllers.manager.rows import CORE, ROWS, descriptors, roles, selected
from controllers.shared.context import UndeclaredError
from controllers.shared.descriptor import ControllerDescriptor, WatchedKind
from controllers.workloads.replicaset import REPLICA_SET
from machinery.errors import ApiError, Forbidden, NotFound
from machinery.flags import seconds
from machinery.informer import Informers
from machinery.resources import PODS, REPLICA_SETS, SERVICES

REPOSITORY = Path(__file__).parents[3]
NAMES = list(ROWS)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["*"], NAMES),
        (["*", "-scheduler"], [name for name in NAMES if name != "scheduler"]),
        (["scheduler", "namespace"], ["scheduler", "namespace-controller"]),
        (["*", "-garbagecollector"], [name for name in NAMES if name != "garbage-collector-controller"]),
        ([""], []),
        (["core"], list(CORE)),
        (["namespace", "replicaset", "core", "-core"], ["replicaset-controller"]),
    ],
)
def test_selected(asked: list[str], expected: list[str]) -> None:
    assert [row.name for row in selected(asked)] == [name for name in NAMES if name in expected]


def test_an_unknown_controller_is_named() -> None:
    with pytest.raises(ValueError, match=r"no controller is called cronjob; there are .*scheduler.*manager/rows\.py"):
        selected(["*", "-cronjob"])


def test_names_aliases_and_sets_are_unambiguous() -> None:
    names = [name for row in descriptors() for name in (row.name, *row.aliases)]
    assert len(names) == len({*names, "*", "core"}) - 2


def test_what_is_not_selected_is_not_imported() -> None:
    program = """
import sys
from controllers.manager.rows import selected
selected(["core"])
print(*(name for name in sys.modules if name.startswith("controllers.")))
"""
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "controllers.workloads.replicationcontroller" in loaded
    assert not [name for name in loaded if "garbagecollector" in name or "certificates" in name or "nodes" in name]


def test_each_controller_is_declared_where_it_stands() -> None:
    for row in descriptors():
        assert row.file.startswith("controllers/") and row.file.endswith(".py")
        assert f'"{row.name}"' in (REPOSITORY / row.file).read_text()


def test_a_controller_is_given_only_what_it_declares() -> None:
    client: Any = None
    context = REPLICA_SET.context(client, Informers(client))
    assert context.informer(PODS).resource == PODS
    with pytest.raises(
        UndeclaredError, match=r"replicaset-controller asks for the informer of services, .*replicaset\.py"
    ):
        context.informer(SERVICES)
    with pytest.raises(UndeclaredError, match=r"watches_everything in controllers/workloads/replicaset\.py"):
        _ = context.monitors


def test_controllers_that_share_an_account_add_up_their_rules() -> None:
    found = roles()
    assert len(found["system:controller:certificate-controller"]) == 6
    assert found["system:controller:replicaset-controller"] == list(REPLICA_SET.rules)
    assert list(found) == sorted({row.role for row in descriptors()} - {""})


class Refusing:
    """A client that refuses every list."""

    def __init__(self, error: ApiError) -> None:
        self.error = error

    def list(self, *_: Any, **__: Any) -> Any:
        raise self.error


class Idle:
    def __init__(self, context: Any) -> None:
        self.context = context

    def start(self, stop: threading.Event) -> None:
        """It has no workers."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            NotFound("the server could not find the requested resource"),
            "idle watches replicasets.apps, which the API server does not serve in apps/v1: add the kind's row to "
            "apiserver/kinds/rows.py or to a feature in apiserver/features/, start the API server with that feature "
            "(--features), or take the watch out of ",
        ),
        (Forbidden("replicasets.apps is forbidden"), "idle watches replicasets.apps (declared in "),
    ],
)
def test_a_kind_that_cannot_be_watched_ends_the_process(
    error: ApiError, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(managers, "ROLES_WRITTEN", 0.0)
    client: Any = Refusing(error)
    stop = threading.Event()
    manager = Manager(client, [ControllerDescriptor("idle", Idle, watches=(WatchedKind(REPLICA_SETS),))])
    manager.start(stop)
    assert stop.wait(10)
    assert manager.fault.startswith(expected)


def test_the_roles_of_a_new_cluster_are_waited_for() -> None:
    client: Any = Refusing(Forbidden("not yet"))
    stop = threading.Event()
    manager = Manager(client, [ControllerDescriptor("idle", Idle, watches=(WatchedKind(REPLICA_SETS),))])
    manager.start(stop)
    assert not stop.wait(0.3)
    stop.set()
    assert not manager.fault


def test_a_missing_rule_is_told_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    row = dataclasses.replace(REPLICA_SET, rules=())
    with caplog.at_level(logging.WARNING):
        log_missing_rule(row, Forbidden('pods "x" is forbidden: exceeded quota'))
        assert not caplog.records
        log_missing_rule(row, Forbidden('cannot create resource "pods" in API group "" in the namespace "n"'))
    assert "system:controller:replicaset-controller has no rule for it" in caplog.text
    assert "controllers/workloads/replicaset.py; run `make controllerroles`" in caplog.text


@pytest.mark.parametrize(("text", "expected"), [("40", 40), ("40s", 40), ("1m", 60), ("500ms", 0.5), ("1h", 3600)])
def test_seconds(text: str, expected: float) -> None:
    assert seconds(text) == expected


def test_arguments() -> None:
    given = arguments(["--kubeconfig=k", "--node-monitor-grace-period=50s"])
    assert (given.controllers, given.node_monitor_grace_period) == (("*",), 50)
