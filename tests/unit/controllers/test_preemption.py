"""Who makes room for an important pod, and who need not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controllers.scheduler import preemption
from controllers.scheduler.misfit import explain
from controllers.scheduler.nodeusage import NodeUsage
from controllers.scheduler.preemption import Candidate
from controllers.scheduler.scheduler import fits_among, plan
from machinery.objects import Object

Builder = Callable[..., Object]


@pytest.fixture
def make(pod: Builder) -> Builder:
    """A pod of some priority that asks for so many CPUs."""

    def made(name: str, priority: int, cpu: str = "1", *, started: str = "2026-01-01T00:00:00Z", **more: Any) -> Object:
        resources = {"requests": {"cpu": cpu}}
        obj = pod(name, containers=[{"name": "c", "image": "i", "resources": resources}], priority=priority, **more)
        obj["status"]["startTime"] = started
        return obj

    return made


def usage(*pods: Object) -> NodeUsage:
    made = NodeUsage()
    for each in pods:
        made.observe(None, each)
    return made


def choose(pod: Object, nodes: list[Object], there: NodeUsage) -> Candidate | None:
    chosen, misfits = plan(pod, nodes, there)
    assert not chosen, "there is room"
    return preemption.choose(pod, nodes, misfits, there, fits_among(pod, nodes, there, lambda _: {}))


def names(candidate: Candidate | None) -> tuple[str, list[str]] | None:
    return candidate and (candidate.node, [victim["metadata"]["name"] for victim in candidate.victims])


def test_the_least_important_leave_and_no_more_than_must(make: Builder, node: Builder) -> None:
    there = usage(make("a", 5, node="node"), make("b", 1, node="node"))
    assert names(choose(make("new", 9), [node()], there)) == ("node", ["b"])
    assert names(choose(make("new", 9, "2"), [node()], there)) == ("node", ["a", "b"])


def test_of_equals_the_younger_leaves(make: Builder, node: Builder) -> None:
    old = make("old", 1, node="node", started="2026-01-01T00:00:00Z")
    young = make("young", 1, node="node", started="2026-01-01T01:00:00Z")
    assert names(choose(make("new", 9), [node()], usage(old, young))) == ("node", ["young"])


def test_nobody_leaves_for_an_equal(make: Builder, node: Builder) -> None:
    assert choose(make("new", 5), [node()], usage(make("a", 5, "2", node="node"))) is None
    assert choose(make("new", 5, "9"), [node()], usage(make("a", 1, "2", node="node"))) is None, "it would not help"


def test_no_node_is_looked_at_on_which_evictions_do_not_help(make: Builder, node: Builder) -> None:
    there = usage(make("a", 1, "2", node="node"))
    assert choose(make("new", 9, nodeSelector={"a": "b"}), [node()], there) is None


@pytest.mark.parametrize(
    "left, right, better",
    [
        ([3], [2], "right"),
        ([2, 1], [2], "right"),
        ([2, 2], [2, 1], "right"),
        ([1], [1], "left"),
    ],
)
def test_the_cheapest_node_is_taken(
    make: Builder, node: Builder, left: list[int], right: list[int], better: str
) -> None:
    pods = []
    for name, priorities in (("left", left), ("right", right)):
        cpu = "2" if len(priorities) == 1 else "1"
        pods += [make(f"{name}{n}", priority, cpu, node=name) for n, priority in enumerate(priorities)]
    found = choose(make("new", 9, "2"), [node("left"), node("right")], usage(*pods))
    assert found is not None and found.node == better


def test_where_victims_cost_the_same_those_leave_that_began_last(make: Builder, node: Builder) -> None:
    there = usage(
        make("a", 1, "2", node="left", started="2026-01-01T00:00:00Z"),
        make("b", 1, "2", node="right", started="2026-01-01T01:00:00Z"),
    )
    assert names(choose(make("new", 9), [node("left"), node("right")], there)) == ("right", ["b"])


def test_who_is_in_the_way_by_anti_affinity_leaves_too(make: Builder, node: Builder) -> None:
    term = {"topologyKey": "host", "labelSelector": {"matchLabels": {"app": "x"}}}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    host = node(labels={"host": "node"})
    assert names(choose(make("new", 9, affinity=affinity), [host], usage(make("a", 1, node="node")))) == ("node", ["a"])


def test_who_may_not_preempt(make: Builder, node: Builder) -> None:
    there, new = usage(make("a", 1, "2", node="node")), make("new", 9)
    assert preemption.ineligible(make("meek", 9, preemptionPolicy="Never"), there) == preemption.NEVER
    assert preemption.ineligible(new, there) == ""
    there.nominate(new, "node", [make("a", 1)])
    assert preemption.ineligible(new, there) == preemption.WAITS
    there.observe(make("a", 1, node="node"), None)
    assert preemption.ineligible(new, there) == ""


def test_a_new_scheduler_knows_the_victims_of_the_last_one(make: Builder) -> None:
    new = make("new", 9)
    new["status"]["nominatedNodeName"] = "node"
    assert preemption.ineligible(new, usage(new, make("a", 1, node="node", deleting=True))) == preemption.WAITS
    assert preemption.ineligible(new, usage(new, make("a", 1, node="node"))) == ""


def test_room_is_kept_for_the_nominated_but_not_from_the_more_important(make: Builder, node: Builder) -> None:
    there, new = usage(), make("new", 9, "2")
    there.nominate(new, "node", [])
    assert plan(make("low", 5), [node()], there)[0] == ""
    assert plan(make("high", 10), [node()], there)[0] == "node"
    assert plan(new, [node()], there)[0] == "node"
    there.withdraw(new["metadata"]["uid"])
    assert plan(make("low", 5), [node()], there)[0] == "node"


def test_the_nominated_node_comes_first(make: Builder, node: Builder) -> None:
    new = make("new", 9)
    new["status"]["nominatedNodeName"] = "b"
    assert plan(new, [node("a"), node("b")], usage())[0] == "b"


def test_what_is_said(make: Builder, node: Builder) -> None:
    _, misfits = plan(make("new", 9), [node()], usage(make("a", 1, "2", node="node")))
    assert explain(misfits, preempts=True) == "0/1 nodes are available: 1 Insufficient cpu."
    assert explain(misfits, preemption.WAITS).endswith(
        "preemption: not eligible due to a terminating pod on the nominated node."
    )
