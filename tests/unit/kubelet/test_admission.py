"""Pods that this node does not take, although they are bound to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from kubelet.pod.admission import rejection
from kubelet.pod.state import Failure, PodState
from kubelet.pod.status import status
from kubelet.sync.admission import Admission
from kubelet.sync.podstates import PodStates
from machinery.objects import Object

MakePod = Callable[..., Object]

NODE: Object = {
    "metadata": {"name": "n", "labels": {"disk": "ssd"}},
    "spec": {},
    "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "2"}},
}


def container(requests: Object | None = None, port: Object | None = None) -> Object:
    return {"name": "c", "image": "i", "resources": {"requests": requests or {}}, "ports": [port] if port else []}


def required(**expression: Any) -> Object:
    terms = [{"matchExpressions": [expression]}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def sysctl(name: str) -> Object:
    return {"sysctls": [{"name": name, "value": "1"}]}


@pytest.mark.parametrize(
    ("spec", "reason", "message"),
    [
        (
            {"containers": [container({"cpu": "1500m"})]},
            "OutOfcpu",
            "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000",
        ),
        (
            {"containers": [container({"memory": "2Gi", "cpu": "3"})]},
            "OutOfcpu",
            "Node didn't have enough resource: cpu, requested: 3000, used: 1000, capacity: 2000",
        ),
        (
            {"containers": [container({"memory": "2Gi"})]},
            "OutOfmemory",
            "Node didn't have enough resource: memory, requested: 2147483648, used: 0, capacity: 1073741824",
        ),
        (
            {"containers": [container({"example.com/dongle": "1"})]},
            "OutOfexample.com/dongle",
            "Node didn't have enough resource: example.com/dongle, requested: 1, used: 0, capacity: 0",
        ),
        (
            {"nodeSelector": {"disk": "tape"}},
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ),
        (
            {"affinity": required(key="disk", operator="NotIn", values=["ssd"])},
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ),
        (
            {"containers": [container(port={"containerPort": 1, "hostPort": 80, "hostIP": "127.0.0.1"})]},
            "NodePorts",
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
        ),
        (
            {"securityContext": sysctl("kernel.msgmax")},
            "SysctlForbidden",
            'forbidden sysctl: "kernel.msgmax" not allowlisted',
        ),
        (
            {"securityContext": sysctl("net/ipv4/tcp_syncookies"), "hostNetwork": True},
            "SysctlForbidden",
            'forbidden sysctl: "net/ipv4/tcp_syncookies" not allowed with host net enabled',
        ),
        (
            {"securityContext": sysctl("kernel.shm_rmid_forced"), "hostIPC": True},
            "SysctlForbidden",
            'forbidden sysctl: "kernel.shm_rmid_forced" not allowed with host ipc enabled',
        ),
    ],
)
def test_rejected(make_pod: MakePod, spec: Object, reason: str, message: str) -> None:
    other = make_pod(containers=[container({"cpu": "1"}, {"containerPort": 1, "hostPort": 80})])
    assert rejection(make_pod(**spec), NODE, [other]) == Failure(reason, message, rejected=True)


@pytest.mark.parametrize(
    "spec",
    [
        {"containers": [container({"cpu": "1"}, {"containerPort": 1, "hostPort": 81})]},
        {"nodeSelector": {"disk": "ssd"}},
        {"securityContext": sysctl("net.ipv4.tcp_syncookies")},
        {"securityContext": sysctl("net.core.somaxconn")},
    ],
)
def test_taken(make_pod: MakePod, spec: Object) -> None:
    other = make_pod(containers=[container({"cpu": "1"}, {"containerPort": 1, "hostPort": 80})])
    assert rejection(make_pod(**spec), NODE, [other], unsafe_sysctls=["net.core.*"]) is None


def test_no_more_pods_than_the_node_may_have(make_pod: MakePod) -> None:
    found = rejection(make_pod(), NODE, [make_pod(), make_pod()])
    assert found and found.reason == "OutOfpods"


def test_a_no_execute_taint_keeps_pods_away_but_a_no_schedule_taint_does_not(make_pod: MakePod) -> None:
    def tainted(effect: str) -> Object:
        return {**NODE, "spec": {"taints": [{"key": "k", "effect": effect}]}}

    assert rejection(make_pod(), tainted("NoSchedule"), []) is None
    found = rejection(make_pod(), tainted("NoExecute"), [])
    assert found and found.reason == "TaintToleration"
    assert rejection(make_pod(tolerations=[{"operator": "Exists"}]), tainted("NoExecute"), []) is None


class Events:
    def __init__(self) -> None:
        self.recorded: list[str] = []

    def pod(self, pod: Object, type: str, reason: str, message: str) -> None:
        self.recorded.append(f"{type} {reason} {pod['metadata']['name']}")


def state_in(states: PodStates, pod: Object) -> PodState:
    states.update(pod)
    record = states.record(pod["metadata"]["uid"])
    assert record
    return record.state


def test_each_pod_is_checked_against_those_taken_before_it(make_pod: MakePod) -> None:
    states, events = PodStates(), Events()
    admission = Admission(states, lambda: NODE, events)  # type: ignore[arg-type]
    made = []
    for name in ("first", "second"):
        pod = make_pod({"name": name, "uid": name}, containers=[container({"cpu": "1500m"})])
        made.append(state_in(states, pod))
        admission.admit(made[-1])
    assert [state.admitted for state in made] == [True, False]
    assert events.recorded == ["Warning OutOfcpu second"]


def test_a_label_that_has_just_been_set_counts(make_pod: MakePod) -> None:
    nodes = [{**NODE, "metadata": {"name": "n", "labels": {"disk": disk}}} for disk in ("tape", "ssd", "tape")]
    states = PodStates()
    admission = Admission(states, nodes.pop, Events())  # type: ignore[arg-type]
    for disk in ("tape", "ssd"):
        state = state_in(states, make_pod({"uid": disk}, nodeSelector={"disk": disk}))
        admission.admit(state)
        assert state.admitted


def test_a_pod_that_an_earlier_kubelet_began_is_taken(make_pod: MakePod) -> None:
    states = PodStates()
    pod = {**make_pod(nodeSelector={"disk": "tape"}), "status": {"startTime": "2026-01-01T00:00:00Z"}}
    state = state_in(states, pod)
    Admission(states, lambda: NODE, Events()).admit(state)  # type: ignore[arg-type]
    assert state.admitted
    assert state.start_time == 1767225600.0


def test_the_status_says_why(make_pod: MakePod) -> None:
    state = PodState(make_pod(), start_time=time.time(), failure=Failure("OutOfcpu", "no room", rejected=True))
    shown = status(state, "172.17.0.1", time.time())
    assert shown["phase"] == "Failed"
    assert (shown["reason"], shown["message"]) == ("OutOfcpu", "Pod was rejected: no room")
    assert "containerStatuses" not in shown
