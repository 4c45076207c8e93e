"""Which node a pod gets, and upstream's words when it gets none."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from controllers.scheduler.misfit import explain
from controllers.scheduler.nodeusage import NodeUsage
from controllers.scheduler.preemption import ineligible
from controllers.scheduler.scheduler import SCHEDULER, Scheduler, is_waiting, plan
from machinery.errors import ApiError, Conflict, Forbidden, NotFound
from machinery.informer import Informers
from machinery.nodeaffinity import holds, matches_term
from machinery.objects import Object
from machinery.podrequests import ports_collide, requests_of


def container(cpu: str = "", memory: str = "", **more: Any) -> Object:
    requests = {name: text for name, text in (("cpu", cpu), ("memory", memory)) if text}
    return {"name": "c", "image": "i", "resources": {"requests": requests}, **more}


def message(pod: Object, nodes: list[Object], usage: NodeUsage | None = None) -> str:
    usage = usage or NodeUsage()
    chosen, misfits = plan(pod, nodes, usage)
    assert not chosen
    return explain(misfits, ineligible(pod, usage))


VICTIMS = "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
NO_USE = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."


@pytest.mark.parametrize(
    ("spec", "more", "expected"),
    [
        pytest.param({"containers": [container(memory="8Gi")]}, {}, f"1 Insufficient memory. {VICTIMS}", id="memory"),
        pytest.param(
            {"containers": [container(cpu="3", memory="8Gi")]},
            {},
            f"1 Insufficient cpu, 1 Insufficient memory. {VICTIMS}",
            id="two resources",
        ),
        pytest.param(
            {"containers": [{"resources": {"limits": {"example.com/gpu": "1"}}}]},
            {},
            f"1 Insufficient example.com/gpu. {VICTIMS}",
            id="an extended resource that the node does not have",
        ),
        pytest.param({}, {"allocatable": {"pods": "0"}}, f"1 Too many pods. {VICTIMS}", id="number of pods"),
        pytest.param(
            {"nodeSelector": {"disk": "ssd"}},
            {"labels": {"disk": "hdd"}},
            f"1 node(s) didn't match Pod's node affinity/selector. {NO_USE}",
            id="nodeSelector",
        ),
        pytest.param({}, {"unschedulable": True}, f"1 node(s) were unschedulable. {NO_USE}", id="cordoned"),
        pytest.param(
            {},
            {"taints": [{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]},
            f"1 node(s) had untolerated taint {{dedicated: db}}. {NO_USE}",
            id="taint",
        ),
        pytest.param(
            {},
            {"ready": "False"},
            f"1 node(s) had untolerated taint {{node.kubernetes.io/not-ready: }}. {NO_USE}",
            id="not ready, and not tainted yet",
        ),
        pytest.param(
            {},
            {"ready": "Unknown"},
            f"1 node(s) had untolerated taint {{node.kubernetes.io/unreachable: }}. {NO_USE}",
            id="unreachable",
        ),
        pytest.param(
            {"preemptionPolicy": "Never", "containers": [container(cpu="3")]},
            {},
            "1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.",
            id="never preempts",
        ),
    ],
)
def test_why_not(pod: Any, node: Any, spec: dict[str, Any], more: dict[str, Any], expected: str) -> None:
    assert message(pod(**spec), [node(**more)]) == f"0/1 nodes are available: {expected}"


def test_each_node_counts_with_its_own_reason(pod: Any, node: Any) -> None:
    nodes = [node("a", unschedulable=True), node("b"), node("c")]
    assert message(pod(containers=[container(cpu="3")]), nodes) == (
        "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu. "
        "preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, "
        "2 No preemption victims found for incoming pod."
    )


def test_no_nodes(pod: Any) -> None:
    assert message(pod(), []) == "no nodes available to schedule pods"


@pytest.mark.parametrize(
    "tolerations",
    [
        pytest.param([{"operator": "Exists"}], id="all"),
        pytest.param([{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}], id="the one"),
    ],
)
def test_a_cordoned_node_takes_what_tolerates_it(pod: Any, node: Any, tolerations: list[Object]) -> None:
    assert plan(pod(tolerations=tolerations), [node(unschedulable=True)], NodeUsage())[0] == "node"


def test_the_emptiest_node_is_chosen_and_the_first_among_equals(pod: Any, node: Any) -> None:
    usage = NodeUsage()
    nodes = [node("b"), node("a")]
    assert plan(pod(), nodes, usage)[0] == "a"
    usage.observe(None, pod("other", node="a", containers=[container(cpu="1")]))
    assert plan(pod(), nodes, usage)[0] == "b"


def test_preferences_come_before_emptiness(pod: Any, node: Any) -> None:
    usage = NodeUsage()
    usage.observe(None, pod("other", node="b", containers=[container(cpu="1")]))
    avoided = node("a", taints=[{"key": "k", "effect": "PreferNoSchedule"}])
    assert plan(pod(), [avoided, node("b")], usage)[0] == "b"
    term = {"weight": 5, "preference": {"matchExpressions": [{"key": "k", "operator": "Exists"}]}}
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}
    assert plan(pod(affinity=affinity), [node("a"), node("b", labels={"k": "v"})], usage)[0] == "b"


def test_an_assumed_pod_takes_room_until_it_is_forgotten(pod: Any, node: Any) -> None:
    usage = NodeUsage()
    first, second = (pod(name, containers=[container(cpu="1500m")]) for name in ("first", "second"))
    usage.assume(first, "node")
    assert "Insufficient cpu" in message(second, [node()], usage)
    usage.forget("uid-first")
    assert plan(second, [node()], usage)[0] == "node"


def test_a_pod_that_was_seen_bound_is_not_forgotten(pod: Any, node: Any) -> None:
    usage = NodeUsage()
    first = pod("first", containers=[container(cpu="1500m")])
    usage.assume(first, "node")
    assert usage.assumed_on("uid-first") == "node"
    usage.observe(first, {**first, "spec": {**first["spec"], "nodeName": "node"}})
    assert usage.assumed_on("uid-first") is None
    usage.forget("uid-first")
    assert usage.of("node").amounts == {"cpu": 1500}


@pytest.mark.parametrize("end", ["deleted", "ended", "replaced"])
def test_room_is_given_back(pod: Any, end: str) -> None:
    usage = NodeUsage()
    bound = pod("p", node="node", containers=[container(cpu="1")])
    usage.observe(None, bound)
    new = {"deleted": None, "ended": pod("p", node="node", phase="Failed"), "replaced": pod("p", uid="another")}[end]
    usage.observe(bound, new)
    assert usage.of("node").amounts == {}
    assert usage.of("node").pods == ()


def test_a_pod_that_is_deleted_before_its_binding_is_seen_gives_back_its_room(pod: Any) -> None:
    usage = NodeUsage()
    usage.assume(pod("p"), "node")
    usage.observe(pod("p"), None)
    assert usage.of("node").pods == ()


ENDS = Forbidden("no more pods here", details={"causes": [{"reason": "NamespaceTerminating"}]})


@pytest.mark.parametrize(
    ("error", "tried_again"),
    [(NotFound("gone"), False), (Conflict("bound"), False), (ENDS, False), (Forbidden("no right to"), True)],
)
def test_a_binding_that_is_refused_gives_back_the_room(pod: Any, error: ApiError, tried_again: bool) -> None:
    class Refusing:
        def create_subresource(self, *_: Any) -> Object:
            raise error

    client: Any = Refusing()
    scheduler = Scheduler(SCHEDULER.context(client, Informers(client)))
    scheduler.usage.assume(pod("p"), "node")
    with pytest.raises(ApiError) if tried_again else nullcontext():
        scheduler.bind(pod("p"), "node")
    assert scheduler.usage.of("node").pods == ()


def test_requests() -> None:
    spec = {
        "containers": [container("100m", "64Mi"), container("200m")],
        "initContainers": [
            container("50m", restartPolicy="Always"),
            container("1", "32Mi"),
        ],
        "overhead": {"memory": "1Mi"},
    }
    amounts = requests_of({"spec": spec}).amounts
    assert amounts == {"cpu": 1050, "memory": 65 * 1024 * 1024}, "the init container with the sidecar before it"


def test_limits_stand_in_for_requests_and_nothing_counts_a_little(pod: Any) -> None:
    requests = requests_of(pod(containers=[{"resources": {"limits": {"cpu": "1"}}}, {}]))
    assert requests.amounts == {"cpu": 1000}
    assert requests.score == {"cpu": 1100, "memory": 400 * 1024 * 1024}


def test_host_ports(pod: Any, node: Any) -> None:
    usage = NodeUsage()
    usage.observe(
        None, pod("taken", node="node", containers=[container(ports=[{"containerPort": 80, "hostPort": 8080}])])
    )
    same = pod(containers=[container(ports=[{"containerPort": 1, "hostPort": 8080, "hostIP": "10.0.0.1"}])])
    assert "didn't have free ports" in message(same, [node()], usage)
    udp = pod(containers=[container(ports=[{"containerPort": 1, "hostPort": 8080, "protocol": "UDP"}])])
    assert plan(udp, [node()], usage)[0] == "node"
    on_host = pod(hostNetwork=True, containers=[container(ports=[{"containerPort": 8080}])])
    assert "didn't have free ports" in message(on_host, [node()], usage)
    assert not ports_collide(("10.0.0.1", "TCP", 1), ("10.0.0.2", "TCP", 1))


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("In", ["5", "6"], True),
        ("In", ["6"], False),
        ("NotIn", ["6"], True),
        ("Exists", None, True),
        ("DoesNotExist", None, False),
        ("Gt", ["4"], True),
        ("Gt", ["5"], False),
        ("Lt", ["6"], True),
        ("Lt", ["six"], False),
        ("Unheard", ["5"], False),
    ],
)
def test_requirements(operator: str, values: list[str] | None, expected: bool) -> None:
    assert holds({"key": "k", "operator": operator, "values": values}, {"k": "5"}) is expected


def test_terms(node: Any) -> None:
    by_name = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node"]}]}
    assert matches_term(by_name, node())
    assert not matches_term(by_name, node("other"))
    assert not matches_term({}, node()), "an empty term matches nothing"


@pytest.mark.parametrize(
    ("more", "waiting"),
    [
        ({}, True),
        ({"node": "n"}, False),
        ({"schedulerName": "mine"}, False),
        ({"schedulerName": "default-scheduler"}, True),
        ({"schedulingGates": [{"name": "g"}]}, False),
        ({"deleting": True}, False),
        ({"phase": "Failed"}, False),
    ],
)
def test_which_pods_wait(pod: Any, more: dict[str, Any], waiting: bool) -> None:
    assert is_waiting(pod(**more)) is waiting
