"""Pods that want, or do not want, to be near each other."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.scheduler.misfit import explain
from controllers.scheduler.nodeusage import NodeUsage
from controllers.scheduler.scheduler import plan
from machinery.objects import Object

HOST, ZONE = "kubernetes.io/hostname", "zone"


def affinity(kind: str, labels: dict[str, str], topology: str = HOST, **more: Any) -> Object:
    term = {"topologyKey": topology, "labelSelector": {"matchLabels": labels}, **more}
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


@pytest.fixture
def nodes(node: Any) -> list[Object]:
    zones = {"a": "east", "b": "east", "c": "west"}
    return [node(name, labels={HOST: name, ZONE: zone}) for name, zone in zones.items()]


def usage(*pods: Object) -> NodeUsage:
    made = NodeUsage()
    for each in pods:
        made.observe(None, each)
    return made


def fitting(pod: Object, nodes: list[Object], used: NodeUsage, labels: Any = None) -> set[str]:
    _, misfits = plan(pod, nodes, used, lambda _: labels or {})
    return {node["metadata"]["name"] for node in nodes} - set(misfits)


@pytest.mark.parametrize(("topology", "expected"), [(HOST, {"b"}), (ZONE, {"a", "b"})])
def test_near_another_pod(pod: Any, nodes: list[Object], topology: str, expected: set[str]) -> None:
    there = usage(pod("db", node="b", labels={"app": "db"}))
    comes = pod("web", affinity=affinity("podAffinity", {"app": "db"}, topology))
    assert fitting(comes, nodes, there) == expected


def test_the_first_of_pods_that_want_to_be_together(pod: Any, nodes: list[Object]) -> None:
    together = affinity("podAffinity", {"app": "x"})
    assert fitting(pod("first", affinity=together), nodes, usage()) == {"a", "b", "c"}
    assert fitting(pod("second", affinity=together), nodes, usage(pod("first", node="c"))) == {"c"}
    assert fitting(pod("stranger", labels={}, affinity=together), nodes, usage()) == set()


@pytest.mark.parametrize(("topology", "expected"), [(HOST, {"a", "c"}), (ZONE, {"c"})])
def test_away_from_another_pod(pod: Any, nodes: list[Object], topology: str, expected: set[str]) -> None:
    there = usage(pod("first", node="b"))
    comes = pod("second", affinity=affinity("podAntiAffinity", {"app": "x"}, topology))
    assert fitting(comes, nodes, there) == expected


def test_a_pod_that_is_there_keeps_others_away(pod: Any, nodes: list[Object]) -> None:
    there = usage(pod("hermit", node="b", labels={}, affinity=affinity("podAntiAffinity", {"app": "x"})))
    assert fitting(pod("comes"), nodes, there) == {"a", "c"}
    assert fitting(pod("other", labels={}), nodes, there) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("term", "labels", "avoids"),
    [
        ({}, {}, False),
        ({"namespaces": ["elsewhere"]}, {}, True),
        ({"namespaces": ["nowhere"]}, {}, False),
        ({"namespaceSelector": {}}, {}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "a"}}}, {"team": "a"}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "a"}}}, {"team": "b"}, False),
    ],
)
def test_namespaces(pod: Any, nodes: list[Object], term: Object, labels: Object, avoids: bool) -> None:
    other = pod("other", node="a")
    other["metadata"]["namespace"] = "elsewhere"
    comes = pod("comes", affinity=affinity("podAntiAffinity", {"app": "x"}, **term))
    assert ("a" not in fitting(comes, nodes, usage(other), labels)) is avoids


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (
            "podAffinity",
            "1 node(s) didn't match pod affinity rules.",
        ),
        (
            "podAntiAffinity",
            "1 node(s) didn't match pod anti-affinity rules.",
        ),
    ],
)
def test_words(pod: Any, node: Any, kind: str, expected: str) -> None:
    labels = {"app": "missing"} if kind == "podAffinity" else {"app": "x"}
    comes = pod("comes", affinity=affinity(kind, labels))
    _, misfits = plan(comes, [node(labels={HOST: "node"})], usage(pod("there", node="node")))
    assert expected in explain(misfits)


def test_words_of_those_that_are_there(pod: Any, node: Any) -> None:
    there = usage(pod("there", node="node", affinity=affinity("podAntiAffinity", {"app": "x"})))
    comes = pod("comes")
    _, misfits = plan(comes, [node(labels={HOST: "node"})], there)
    assert "1 node(s) didn't satisfy existing pods anti-affinity rules." in explain(misfits)
