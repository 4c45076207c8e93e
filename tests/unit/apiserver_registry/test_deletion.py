"""What a deletion does, decided without a store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from apiserver.model.kind import Kind, Strategy
from apiserver.registry.deletion import DeleteOptions, check_preconditions, may_go, parse_options, plan
from apiserver.schema.codec import UpstreamCodec
from machinery.errors import BadRequest, Conflict, Invalid
from machinery.objects import Object

NOW = datetime(2025, 1, 1, 12, 0, 0, tzinfo=UTC)


class Graceful(Strategy):
    def graceful_period(self, obj: Object, requested: int | None) -> int:
        return 30 if requested is None else requested


class Orphaning(Strategy):
    orphan_by_default = True


def kind(strategy: Strategy | None = None) -> Kind:
    return Kind("", "v1", "Thing", "things", UpstreamCodec(""), strategy=strategy or Strategy())


def thing(**metadata: Any) -> Object:
    return {"metadata": {"name": "a", "uid": "u", "resourceVersion": "7", **metadata}}


def test_nothing_keeps_it() -> None:
    assert plan(kind(), thing(), DeleteOptions(), NOW).remove


def test_a_finalizer_keeps_it() -> None:
    planned = plan(kind(), thing(finalizers=["a/b"], generation=1), DeleteOptions(), NOW)
    assert not planned.remove
    assert planned.marked is not None
    metadata = planned.marked["metadata"]
    assert metadata["deletionTimestamp"] == "2025-01-01T12:00:00Z"
    assert metadata["deletionGracePeriodSeconds"] == 0
    assert metadata["generation"] == 2


@pytest.mark.parametrize(
    ("policy", "before", "after"),
    [
        ("Foreground", [], ["foregroundDeletion"]),
        ("Foreground", ["a/b", "orphan"], ["a/b", "foregroundDeletion"]),
        ("Orphan", [], ["orphan"]),
        ("Orphan", ["foregroundDeletion"], ["orphan"]),
        ("Background", ["orphan", "a/b"], ["a/b"]),
        ("", ["orphan"], ["orphan"]),
    ],
)
def test_policies(policy: str, before: list[str], after: list[str]) -> None:
    planned = plan(kind(), thing(finalizers=before), DeleteOptions(policy=policy), NOW)
    assert planned.marked is not None
    assert planned.marked["metadata"]["finalizers"] == after


def test_a_kind_that_orphans_by_default() -> None:
    planned = plan(kind(Orphaning()), thing(), DeleteOptions(), NOW)
    assert planned.marked is not None
    assert planned.marked["metadata"]["finalizers"] == ["orphan"]
    assert plan(kind(Orphaning()), thing(), DeleteOptions(policy="Background"), NOW).remove


def test_grace() -> None:
    graceful = kind(Graceful())
    planned = plan(graceful, thing(), DeleteOptions(), NOW)
    assert planned.marked is not None
    first = planned.marked
    assert first["metadata"]["deletionTimestamp"] == "2025-01-01T12:00:30Z"
    assert plan(graceful, first, DeleteOptions(), NOW).marked is None, "asked twice, nothing changes"
    assert plan(graceful, first, DeleteOptions(grace_period=60), NOW).marked is None, "never later"
    sooner = plan(graceful, first, DeleteOptions(grace_period=5), NOW)
    assert sooner.marked is not None
    assert sooner.marked["metadata"]["deletionTimestamp"] == "2025-01-01T12:00:05Z"
    assert plan(graceful, first, DeleteOptions(grace_period=0), NOW).remove


def test_preconditions() -> None:
    check_preconditions(kind(), thing(), DeleteOptions(uid="u", resource_version="7"))
    with pytest.raises(Conflict, match="Precondition failed: UID in precondition: x, UID in object meta: u"):
        check_preconditions(kind(), thing(), DeleteOptions(uid="x"))
    with pytest.raises(Conflict, match="ResourceVersion in precondition: 6, ResourceVersion in object meta: 7"):
        check_preconditions(kind(), thing(), DeleteOptions(resource_version="6"))


def test_may_go() -> None:
    deleted = {"deletionTimestamp": "2025-01-01T12:00:00Z", "deletionGracePeriodSeconds": 0}
    assert may_go(kind(), thing(**deleted))
    assert not may_go(kind(), thing())
    assert not may_go(kind(), thing(**deleted, finalizers=["a/b"]))
    assert not may_go(kind(), thing(**{**deleted, "deletionGracePeriodSeconds": 30}))


@pytest.mark.parametrize(
    ("body", "query", "options"),
    [
        (None, {}, DeleteOptions()),
        (None, {"gracePeriodSeconds": "5", "propagationPolicy": "Orphan"}, DeleteOptions(5, policy="Orphan")),
        ({"gracePeriodSeconds": 0, "preconditions": {"uid": "u"}}, {}, DeleteOptions(0, "u")),
        ({"orphanDependents": True}, {}, DeleteOptions(policy="Orphan")),
        ({"orphanDependents": False}, {}, DeleteOptions(policy="Background", cascading=True)),
        ({"dryRun": ["All"]}, {}, DeleteOptions(dry_run=True)),
        ({"gracePeriodSeconds": -5}, {}, DeleteOptions(1)),
        (None, {"orphanDependents": "0"}, DeleteOptions(policy="Background", cascading=True)),
    ],
)
def test_options(body: Any, query: dict[str, str], options: DeleteOptions) -> None:
    assert parse_options(body, query) == options


@pytest.mark.parametrize("body", [None, {}])
def test_a_dry_run_is_one_wherever_it_is_asked_for(body: Any) -> None:
    assert parse_options(body, {}, ["All"]).dry_run


@pytest.mark.parametrize(
    "body",
    [{"propagationPolicy": "x"}, {"propagationPolicy": "Orphan", "orphanDependents": True}, {"dryRun": ["Some"]}],
)
def test_options_that_are_invalid(body: Any) -> None:
    with pytest.raises(Invalid):
        parse_options(body, {})


def test_options_of_the_query_that_are_no_numbers() -> None:
    with pytest.raises(BadRequest, match='parsing "soon": invalid syntax'):
        parse_options(None, {"gracePeriodSeconds": "soon"})
