"""The life of pods, on the fake runtime: order of calls, restarts, faults of API server, runtime and kubelet."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fakeruntime import FakeRuntime
from integration.kubelet.conftest import Api, Kubelet

from kubelet.model import labels
from kubelet.model.runtime import RuntimeContainer, RuntimeImage
from machinery.errors import NotFound
from machinery.resources import CONFIG_MAPS, LEASES, NODES, PODS, RUNTIME_CLASSES, SECRETS


def running(status: Any) -> bool:
    return bool(status["phase"] == "Running")


def container_status(pod: Any, index: int = 0) -> Any:
    return pod["status"]["containerStatuses"][index]


def test_start_and_end(fake_kubelet: Kubelet, fake_runtime: FakeRuntime, api: Api) -> None:
    fake_kubelet.run()
    pod = fake_kubelet.wait_ready()
    assert pod["status"]["podIP"] == "172.17.0.2"
    assert container_status(pod)["ready"]
    api.delete(PODS, "p", "ns")
    fake_kubelet.wait_gone()
    wait_until(lambda: not fake_runtime.known)
    assert fake_runtime.calls[:5] == ["create POD", "start POD", "create c", "start c", "SIGTERM c"]
    assert api.deletions == ["p"]


def test_one_patch_a_transition(fake_kubelet: Kubelet, api: Api) -> None:
    fake_kubelet.run()
    fake_kubelet.wait_ready()
    changes = [event.type for _, kind, event in api.log if kind == PODS]
    assert changes == ["ADDED", "MODIFIED"]


def test_crash_restarts_and_then_backs_off(fake_kubelet: Kubelet, fake_runtime: FakeRuntime) -> None:
    fake_kubelet.run()
    pod = fake_kubelet.wait_ready()
    fake_runtime.end(container_status(pod)["containerID"].removeprefix("docker://"), 3)
    pod = fake_kubelet.wait(lambda status: running(status) and status["containerStatuses"][0]["restartCount"] == 1)
    assert container_status(pod)["lastState"]["terminated"]["exitCode"] == 3
    fake_runtime.end(container_status(pod)["containerID"].removeprefix("docker://"), 4)
    pod = fake_kubelet.wait(lambda status: "waiting" in status["containerStatuses"][0]["state"])
    waiting = container_status(pod)["state"]["waiting"]
    assert waiting["reason"] == "CrashLoopBackOff"
    assert waiting["message"].startswith("back-off 10s restarting failed container=c pod=p_ns(")
    assert fake_kubelet.wait_event("BackOff").startswith("BackOff: Back-off restarting failed container c in pod p_ns(")


def test_never_restarts(fake_kubelet: Kubelet, fake_runtime: FakeRuntime) -> None:
    fake_kubelet.run(restartPolicy="Never")
    pod = fake_kubelet.wait_ready()
    fake_runtime.end(container_status(pod)["containerID"].removeprefix("docker://"), 0)
    pod = fake_kubelet.wait(lambda status: status["phase"] == "Succeeded")
    assert pod["status"]["podIP"] == "172.17.0.2"
    assert container_status(pod)["state"]["terminated"]["reason"] == "Completed"


def test_grace_period(fake_kubelet: Kubelet, fake_runtime: FakeRuntime, api: Api) -> None:
    fake_runtime.heeds = set()
    fake_kubelet.run()
    fake_kubelet.wait_ready()
    api.delete(PODS, "p", "ns", grace_period=1)
    fake_kubelet.wait_gone()
    assert fake_runtime.calls[-1] != "SIGTERM c"
    assert [call for call in fake_runtime.calls if call.startswith("SIG")] == ["SIGTERM c", "SIGKILL c"]


def test_deleted_by_force(fake_kubelet: Kubelet, fake_runtime: FakeRuntime, api: Api) -> None:
    fake_kubelet.run()
    fake_kubelet.wait_ready()
    api.delete(PODS, "p", "ns", grace_period=0)
    wait_until(lambda: not fake_runtime.known)
    assert api.deletions == ["p"]


def wait_until(test: Callable[[], object]) -> None:
    """For what no object shows."""
    deadline = time.monotonic() + 20
    while not test():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.mark.parametrize("restart", [False, True])
def test_healthy_pods_are_left_alone(
    fake_kubelet: Kubelet, fake_runtime: FakeRuntime, api: Api, *, restart: bool
) -> None:
    """By a new kubelet, and when the runtime was away for a moment."""
    fake_kubelet.run()
    pod = fake_kubelet.wait_ready()
    calls = list(fake_runtime.calls)
    if restart:
        fake_kubelet.restart()
    else:
        fake_runtime.go_away()
        api.wait(lambda: node_ready(api) == "False", "the node not to be ready")
        fake_runtime.away = False
        api.wait(lambda: node_ready(api) == "True", "the node to be ready")
    fake_kubelet.run("second")
    fake_kubelet.wait_ready("second")
    assert fake_runtime.calls[: len(calls)] == calls
    assert all(not call.endswith(" c") or "start" in call or "create" in call for call in fake_runtime.calls)
    shown = api.pod("p")
    assert shown is not None and shown["status"] == pod["status"]


def node_ready(api: Api) -> str:
    node = api.objects.get(NODES, {}).get("node") or {}
    conditions = (node.get("status") or {}).get("conditions") or []
    return next((row["status"] for row in conditions if row["type"] == "Ready"), "")


def test_a_restarted_kubelet_keeps_counting(fake_kubelet: Kubelet, fake_runtime: FakeRuntime) -> None:
    fake_kubelet.run()
    pod = fake_kubelet.wait_ready()
    fake_runtime.end(container_status(pod)["containerID"].removeprefix("docker://"), 3)
    pod = fake_kubelet.wait(lambda status: running(status) and status["containerStatuses"][0]["restartCount"] == 1)
    fake_kubelet.stop()
    fake_runtime.end(container_status(pod)["containerID"].removeprefix("docker://"), 4)
    fake_kubelet.start()
    pod = fake_kubelet.wait(lambda status: status["containerStatuses"][0]["restartCount"] == 2)
    assert container_status(pod)["lastState"]["terminated"]["exitCode"] == 4


def test_pod_deleted_while_no_kubelet_ran(fake_kubelet: Kubelet, fake_runtime: FakeRuntime, api: Api) -> None:
    fake_kubelet.run()
    fake_kubelet.wait_ready()
    fake_kubelet.stop()
    api.delete(PODS, "p", "ns", grace_period=0)
    fake_kubelet.start()
    wait_until(lambda: not fake_runtime.known)
    assert "SIGTERM c" in fake_runtime.calls


def test_restarts_go_on_without_the_api_server(fake_kubelet: Kubelet, fake_runtime: FakeRuntime, api: Api) -> None:
    fake_kubelet.run()
    pod = fake_kubelet.wait_ready()
    api.go_away()
    fake_runtime.end(container_status(pod)["containerID"].removeprefix("docker://"), 3)
    wait_until(lambda: fake_runtime.calls.count("start c") == 2)
    api.come_back()
    fake_kubelet.wait(lambda status: status["containerStatuses"][0]["restartCount"] == 1)


def test_sandbox_dies(fake_kubelet: Kubelet, fake_runtime: FakeRuntime) -> None:
    fake_kubelet.run()
    fake_kubelet.wait_ready()
    fake_runtime.end(next(c.id for c in fake_runtime.known.values() if c.sandbox), 137)
    pod = fake_kubelet.wait(lambda status: running(status) and status["podIP"] != "172.17.0.2")
    assert container_status(pod)["restartCount"] == 1
    assert pod["status"]["podIPs"] == [{"ip": pod["status"]["podIP"]}]
    fake_kubelet.wait_event("SandboxChanged")


def test_containers_of_nobody_are_removed(api: Api, fake_runtime: FakeRuntime, fake_kubelet: Kubelet) -> None:
    fake_kubelet.stop()
    orphan = RuntimeContainer("o", "uid-o", "o", "ns", "c", state="running", started=1.0, grace=1)
    fake_runtime.known["o"] = orphan
    fake_runtime.known["box"] = replace(orphan, id="box", name=labels.SANDBOX_NAME, sandbox=True)
    fake_kubelet.start()
    wait_until(lambda: not fake_runtime.known)
    assert "SIGTERM c" in fake_runtime.calls


def test_waits_for_a_config_map(fake_kubelet: Kubelet, api: Api) -> None:
    api.objects[CONFIG_MAPS] = {}
    variable = {"name": "X", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "a"}}}
    fake_kubelet.run(container={"env": [variable]})
    pod = fake_kubelet.wait(lambda status: container_waits(status) == "CreateContainerConfigError")
    assert container_status(pod)["state"]["waiting"]["message"] == 'configmap "cm" not found'
    api.create(CONFIG_MAPS, {"metadata": {"name": "cm", "namespace": "ns"}, "data": {"a": "1"}})
    fake_kubelet.wait_ready()


def container_waits(status: Any) -> str:
    return str((status["containerStatuses"][0]["state"].get("waiting") or {}).get("reason"))


def test_waits_for_a_secret_volume(fake_kubelet: Kubelet, api: Api) -> None:
    api.objects[SECRETS] = {}
    fake_kubelet.run(volumes=[{"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}}])
    message = 'FailedMount: MountVolume.SetUp failed for volume "v" : secret "s" not found'
    assert fake_kubelet.wait_event("FailedMount") == message
    pod = api.pod("p")
    assert pod is not None
    assert pod.get("status") is None or container_waits(pod["status"]) == "ContainerCreating"


def test_pull(fake_kubelet: Kubelet, fake_runtime: FakeRuntime) -> None:
    def pull(reference: str) -> None:
        fake_runtime.present[reference] = RuntimeImage("sha256:2", size=7)

    fake_runtime.on_pull = pull
    fake_kubelet.run(container={"image": "registry.invalid/x"})
    fake_kubelet.wait_ready()
    assert fake_kubelet.wait_event("Pulling") == 'Pulling: Pulling image "registry.invalid/x"'
    assert fake_kubelet.wait_event("Pulled").endswith("Image size: 7 bytes.")


def test_pull_fails(fake_kubelet: Kubelet) -> None:
    fake_kubelet.run(container={"image": "registry.invalid/x:1"})
    fake_kubelet.wait(lambda status: container_waits(status) == "ErrImagePull")
    pod = fake_kubelet.wait(lambda status: container_waits(status) == "ImagePullBackOff")
    message = container_status(pod)["state"]["waiting"]["message"]
    assert message == (
        'Back-off pulling image "registry.invalid/x:1": ErrImagePull: no registry has registry.invalid/x:1'
    )
    assert fake_kubelet.wait_event("Failed: Failed to pull") == (
        'Failed: Failed to pull image "registry.invalid/x:1": no registry has registry.invalid/x:1'
    )


@pytest.mark.parametrize(
    ("container", "reason"),
    [
        ({"image": "x:1", "imagePullPolicy": "Never"}, "ErrImageNeverPull"),
        ({"image": "Not//Valid"}, "InvalidImageName"),
        ({"securityContext": {"runAsNonRoot": True}}, "CreateContainerConfigError"),
    ],
)
def test_what_cannot_start(fake_kubelet: Kubelet, container: Any, reason: str) -> None:
    fake_kubelet.run(container=container)
    fake_kubelet.wait(lambda status: container_waits(status) == reason)


def test_volume_that_we_do_not_have(fake_kubelet: Kubelet) -> None:
    fake_kubelet.run(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "x"}}])
    assert "persistentVolumeClaim volumes are not supported by this kubelet" in fake_kubelet.wait_event("FailedMount")


def test_somebody_overwrites_the_status(fake_kubelet: Kubelet, api: Api) -> None:
    fake_kubelet.run()
    fake_kubelet.wait_ready()
    api.patch(PODS, "p", "ns", {"status": {"conditions": [{"type": "Ready", "status": "False"}]}})
    fake_kubelet.wait_ready()


def test_node(fake_kubelet: Kubelet, api: Api) -> None:
    api.wait(lambda: node_ready(api) == "True", "the node to be ready")
    node = api.objects[NODES]["node"]
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "node"
    assert node["status"]["addresses"][0] == {"type": "InternalIP", "address": "172.17.0.1"}
    assert node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] == 10250
    api.wait(lambda: api.objects.get(LEASES), "the lease")
    assert api.objects[LEASES]["kube-node-lease/node"]["spec"]["holderIdentity"] == "node"


def test_pod_host(fake_kubelet: Kubelet, api: Api) -> None:
    fake_kubelet.run()
    pod = fake_kubelet.wait_ready()
    host = fake_kubelet.agent
    assert f"docker://{host.container_id('ns', 'p', 'c')}" == container_status(pod)["containerID"]
    assert host.sandbox_pid("ns", "p") == 1
    shown = host.pod("ns", "p")
    assert shown is not None and shown["status"] == pod["status"]
    with pytest.raises(NotFound, match='container "x" not found in pod "p"'):
        host.container_id("ns", "p", "x")
    with pytest.raises(NotFound):
        host.container_id("ns", "p", "c", previous=True)
    assert host.healthy() == ""


# Runtime classes


def runtime_class(handler: str) -> Any:
    return {"metadata": {"name": "special"}, "handler": handler}


def test_a_pod_runs_with_the_runtime_of_its_class(fake_kubelet: Kubelet, fake_runtime: FakeRuntime, api: Api) -> None:
    api.create(RUNTIME_CLASSES, runtime_class("runc"))
    fake_kubelet.run(runtimeClassName="special")
    fake_kubelet.wait_ready()
    assert [plan.runtime for plan in fake_runtime.plans.values()] == ["runc", "runc"]


def test_a_runtime_that_the_engine_does_not_know_is_refused(
    fake_kubelet: Kubelet, fake_runtime: FakeRuntime, api: Api
) -> None:
    api.create(RUNTIME_CLASSES, runtime_class("other"))
    fake_kubelet.run(runtimeClassName="special")
    assert fake_kubelet.wait_event("FailedCreatePodSandBox") == (
        "FailedCreatePodSandBox: Failed to create pod sandbox: Unknown runtime specified other"
    )
    fake_runtime.handlers.add("other")
    fake_kubelet.wait_ready()


def test_a_class_that_is_gone_is_told(fake_kubelet: Kubelet, api: Api) -> None:
    fake_kubelet.run(runtimeClassName="special")
    assert fake_kubelet.wait_event("FailedCreatePodSandBox") == (
        'FailedCreatePodSandBox: Failed to create pod sandbox: runtimeclasses.node.k8s.io "special" not found'
    )
