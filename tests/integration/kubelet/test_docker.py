"""Pods as containers of a real Docker engine: what only the engine and the kernel can tell."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from integration.kubelet.conftest import IMAGE, Api, Kubelet

from kubelet.runtime.docker import DockerRuntime
from kubelet.volumes import mounting
from machinery.resources import CONFIG_MAPS, PODS, RUNTIME_CLASSES, SECRETS

pytestmark = pytest.mark.docker

# Ends at once when it is told to, as a well-behaved program does. (A shell's ``wait`` may miss a signal that comes just
# before it.)
LOOP = "while true; do sleep 0.1; done"
POLITE = ["sh", "-c", f"trap 'exit 0' TERM; {LOOP}"]


def text_of(runtime: DockerRuntime, pod: Any, name: str = "c") -> str:
    rows = (pod["status"].get("initContainerStatuses") or []) + pod["status"]["containerStatuses"]
    container_id = next(row["containerID"] for row in rows if row["name"] == name).removeprefix("docker://")
    text: bytes = runtime.client.logs(container_id)
    return text.decode()


def execute(kubelet: Kubelet, *command: str) -> str:
    container_id = kubelet.agent.container_id("ns", "p", "c")
    return str(kubelet.runtime.execute(container_id, list(command), 10).output)


def wait_until(test: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def finished(status: Any) -> bool:
    return status["phase"] in ("Succeeded", "Failed")


def runs_again(status: Any) -> bool:
    row = status["containerStatuses"][0]
    return "running" in row["state"] and bool(row["restartCount"] == 1)


def script(text: str) -> dict[str, Any]:
    return {"command": ["sh", "-c", text]}


def test_start_and_prompt_end(kubelet: Kubelet, docker_runtime: DockerRuntime, api: Api) -> None:
    kubelet.run(container={"command": POLITE})
    pod = kubelet.wait_ready()
    assert pod["status"]["podIP"].startswith("172.")
    began = time.monotonic()
    api.delete(PODS, "p", "ns", grace_period=30)
    kubelet.wait_gone()
    assert time.monotonic() - began < 10  # and not the whole grace period
    wait_until(lambda: not docker_runtime.containers())
    wait_until(lambda: not list((kubelet.root / "pods").iterdir()))


def test_signal_before_the_handler_is_there(kubelet: Kubelet, api: Api) -> None:
    """The kernel drops a SIGTERM to a process 1 that has no handler yet."""
    kubelet.run(container=script(f"sleep 2; trap 'exit 0' TERM; {LOOP}"))
    kubelet.wait_ready()
    began = time.monotonic()
    api.delete(PODS, "p", "ns", grace_period=60)
    kubelet.wait_gone()
    assert time.monotonic() - began < 20


def test_a_containers_surroundings(kubelet: Kubelet, docker_runtime: DockerRuntime, api: Api) -> None:
    api.create(CONFIG_MAPS, {"metadata": {"name": "cm", "namespace": "ns"}, "data": {"key": "value"}})
    kubelet.run(
        container={
            **script("echo $0 $1; env; id; hostname; cat /etc/hosts /etc/resolv.conf /cm/key /part"),
            "args": ["$(POD_IP)", "$(UNKNOWN)"],
            "workingDir": "/tmp",
            "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
            "volumeMounts": [
                {"name": "cm", "mountPath": "/cm"},
                {"name": "cm", "mountPath": "/part", "subPath": "key"},
            ],
        },
        hostAliases=[{"ip": "192.0.2.1", "hostnames": ["alias"]}],
        securityContext={"runAsUser": 7, "runAsGroup": 8, "supplementalGroups": [9]},
        restartPolicy="Never",
        volumes=[{"name": "cm", "configMap": {"name": "cm"}}],
    )
    pod = kubelet.wait(finished)
    text, address = text_of(docker_runtime, pod), pod["status"]["podIP"]
    lines = text.splitlines()
    assert lines[0] == f"{address} $(UNKNOWN)"
    assert f"POD_IP={address}" in lines
    assert "uid=7 gid=8 groups=8,9" in lines
    assert "PWD=/tmp" in lines
    assert f"{address}\tp" in lines
    assert "192.0.2.1\talias" in lines
    assert "nameserver 172.30.0.10" in lines
    assert text.endswith("valuevalue")


def test_volumes_are_current(kubelet: Kubelet, api: Api) -> None:
    api.create(CONFIG_MAPS, {"metadata": {"name": "cm", "namespace": "ns"}, "data": {"key": "old"}})
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("cm", "labels")]
    kubelet.run(
        metadata={"labels": {"color": "red"}},
        container={"volumeMounts": mounts},
        volumes=[
            {"name": "cm", "configMap": {"name": "cm"}},
            {
                "name": "labels",
                "downwardAPI": {"items": [{"path": "all", "fieldRef": {"fieldPath": "metadata.labels"}}]},
            },
        ],
    )
    kubelet.wait_ready()
    assert execute(kubelet, "cat", "/cm/key", "/labels/all") == 'oldcolor="red"'
    api.patch(CONFIG_MAPS, "cm", "ns", {"data": {"key": "new"}})
    api.patch(PODS, "p", "ns", {"metadata": {"labels": {"color": "blue"}}})
    wait_until(lambda: execute(kubelet, "cat", "/cm/key", "/labels/all") == 'newcolor="blue"')


def test_what_the_kubelet_writes_is_read_only_in_the_container(kubelet: Kubelet, api: Api, tmp_path: Path) -> None:
    """Even for root, which could else lead the kubelet astray by a link (CVE-2017-1002102)."""
    api.create(CONFIG_MAPS, {"metadata": {"name": "cm", "namespace": "ns"}, "data": {"key": "old"}})
    api.create(SECRETS, {"metadata": {"name": "s", "namespace": "ns"}, "data": {"key": "b2xk"}})
    precious = tmp_path / "victim" / "precious"
    precious.parent.mkdir()
    precious.write_text("x")
    config_map = {"name": "cm"}
    volumes: list[Any] = [
        {"name": "cm", "configMap": config_map},
        {"name": "s", "secret": {"secretName": "s"}},
        {"name": "d", "downwardAPI": {"items": [{"path": "key", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"name": "p", "projected": {"sources": [{"configMap": config_map}]}},
    ]
    mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
    kubelet.run(
        container={"volumeMounts": [*mounts, {"name": "cm", "mountPath": "/part", "subPath": "key"}]}, volumes=volumes
    )
    kubelet.wait_ready()
    plant = f"rm -f /$v/..data; ln -s {precious.parent} /$v/..data; touch /$v/new"
    attempts = execute(kubelet, "sh", "-c", f"for v in cm s d p; do {plant}; done; echo x > /part")
    assert attempts.count("Read-only file system") == 4 * 3 + 1
    api.patch(CONFIG_MAPS, "cm", "ns", {"data": {"key": "new"}})
    wait_until(lambda: execute(kubelet, "cat", "/cm/key", "/p/key") == "newnew")
    assert precious.read_text() == "x"


def test_secrets_and_memory_are_on_tmpfs(kubelet: Kubelet, api: Api) -> None:
    api.create(SECRETS, {"metadata": {"name": "s", "namespace": "ns"}, "data": {"user": "Ym9i"}})
    names = ("secret", "memory", "disk", "projected")
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}}
    kubelet.run(
        container={"volumeMounts": [{"name": name, "mountPath": f"/{name}"} for name in names]},
        securityContext={"fsGroup": 77},
        volumes=[
            {"name": "secret", "secret": {"secretName": "s", "defaultMode": 0o400}},
            {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "disk", "emptyDir": {}},
            {"name": "projected", "projected": {"sources": [token]}},
        ],
    )
    kubelet.wait_ready()
    mounts = {line.split()[2]: line.split()[4] for line in execute(kubelet, "mount").splitlines()}
    assert [mounts[f"/{name}"] for name in ("secret", "memory", "projected")] == ["tmpfs"] * 3
    assert mounts["/disk"] != "tmpfs"
    assert execute(kubelet, "cat", "/projected/token") == "token of ns/default"
    assert execute(kubelet, "ls", "-lL", "/secret/user").split()[:4] == ["-r--r-----", "1", "0", "77"]
    assert execute(kubelet, "ls", "-ld", "/disk").split()[0] == "drwxrwsrwx"
    api.delete(PODS, "p", "ns", grace_period=0)
    wait_until(lambda: not list((kubelet.root / "pods").iterdir()))


def test_empty_dir_outlives_its_container(kubelet: Kubelet) -> None:
    count = "test -f /v/x && sleep 1000; echo > /v/x; exit 1"
    kubelet.run(
        container={**script(count), "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
        volumes=[{"name": "v", "emptyDir": {}}],
    )
    pod = kubelet.wait(runs_again)
    assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 1


@pytest.mark.parametrize(
    ("container", "volumes", "message"),
    [
        (
            {},
            [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}],
            'Usage of EmptyDir volume "v" exceeds the limit "1Mi". ',
        ),
        (
            {"resources": {"limits": {"ephemeral-storage": "1Mi"}}},
            [{"name": "v", "emptyDir": {"medium": "Memory"}}],
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
        ),
    ],
)
def test_a_pod_that_fills_the_disk_is_evicted(
    kubelet: Kubelet, monkeypatch: pytest.MonkeyPatch, container: Any, volumes: Any, message: str
) -> None:
    monkeypatch.setattr("kubelet.sync.storagemeter.INTERVAL", 0.5)
    file = "/v/x" if "emptyDir" in volumes[0] and volumes[0]["emptyDir"].get("sizeLimit") else "/tmp/x"
    fill = f"dd if=/dev/zero of={file} bs=1024 count=2048; sleep 1000"
    kubelet.run(
        container={**script(fill), **container, "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
        volumes=volumes,
        terminationGracePeriodSeconds=600,
    )
    status = kubelet.wait(finished)["status"]
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "Evicted", message)


def test_memory_of_a_volume_is_bounded_by_the_pods_limit(kubelet: Kubelet) -> None:
    kubelet.run(
        container={
            "resources": {"limits": {"memory": "20Mi"}},
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        },
        volumes=[{"name": "v", "emptyDir": {"medium": "Memory"}}],
    )
    kubelet.wait_ready()
    options = next(line for line in execute(kubelet, "mount").splitlines() if line.split()[2] == "/v")
    assert "size=20480k" in options


def test_sub_path_never_leads_out_of_the_volume(kubelet: Kubelet, api: Api) -> None:
    volumes = [{"name": "v", "emptyDir": {}}]
    mount = {"name": "v", "mountPath": "/v"}
    first = {"name": "i", "image": kubelet_image(), "command": ["ln", "-s", "/etc", "/v/out"], "volumeMounts": [mount]}
    kubelet.run(
        initContainers=[first],
        container={"volumeMounts": [{**mount, "subPath": "out"}]},
        volumes=volumes,
    )
    pod = kubelet.wait(lambda status: "message" in (status["containerStatuses"][0]["state"].get("waiting") or {}))
    assert "leads out of the volume" in pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]


def test_sub_path_is_mounted_once(kubelet: Kubelet, docker_runtime: DockerRuntime, api: Api) -> None:
    """Also after restarts, which mount it anew."""
    api.create(CONFIG_MAPS, {"metadata": {"name": "cm", "namespace": "ns"}, "data": {"key": "value"}})
    folder = {"name": "v", "mountPath": "/v", "subPath": "deep/er"}
    kubelet.run(
        container={"volumeMounts": [folder, {"name": "cm", "mountPath": "/f", "subPath": "key"}]},
        volumes=[{"name": "v", "emptyDir": {}}, {"name": "cm", "configMap": {"name": "cm"}}],
    )
    kubelet.wait_ready()
    docker_runtime.signal(kubelet.agent.container_id("ns", "p", "c"), "SIGKILL")
    kubelet.wait(runs_again)
    assert len(mounting.mounts_below(kubelet.root.resolve())) == 2
    assert execute(kubelet, "cat", "/f") == "value"


def kubelet_image() -> str:
    return "mini-minishift-test/busybox:1"


def test_init_containers_in_order(kubelet: Kubelet, docker_runtime: DockerRuntime) -> None:
    mounts = [{"name": "v", "mountPath": "/v"}]

    def init(name: str, text: str) -> Any:
        return {"name": name, "image": kubelet_image(), "volumeMounts": mounts, **script(text)}

    kubelet.run(
        initContainers=[init("one", "echo 1 > /v/x"), init("two", "echo 2 >> /v/x")],
        container={**script("cat /v/x"), "volumeMounts": mounts},
        volumes=[{"name": "v", "emptyDir": {}}],
        restartPolicy="Never",
    )
    assert text_of(docker_runtime, kubelet.wait(finished)) == "1\n2\n"


@pytest.mark.parametrize(
    ("given", "terminated"),
    [
        (script("echo -n bye > /dev/termination-log"), {"exitCode": 0, "reason": "Completed", "message": "bye"}),
        (
            {**script("echo -n last; exit 3"), "terminationMessagePolicy": "FallbackToLogsOnError"},
            {"exitCode": 3, "reason": "Error", "message": "last"},
        ),
        ({**script("echo no; exit 3")}, {"exitCode": 3, "reason": "Error"}),
        (
            {**script("echo -n x > /tmp/m"), "terminationMessagePath": "/tmp/m"},
            {"exitCode": 0, "reason": "Completed", "message": "x"},
        ),
        (
            {**script("x=a; while true; do x=$x$x; done"), "resources": {"limits": {"memory": "16Mi"}}},
            {"exitCode": 137, "reason": "OOMKilled"},
        ),
    ],
)
def test_how_it_ended(kubelet: Kubelet, given: Any, terminated: Any) -> None:
    kubelet.run(container=given, restartPolicy="Never")
    pod = kubelet.wait(finished)
    found = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert {field: found[field] for field in ("exitCode", "reason", "message") if field in found} == terminated


def test_command_that_does_not_exist(kubelet: Kubelet) -> None:
    kubelet.run(container={"command": ["nonsense"]})
    pod = kubelet.wait(lambda status: status["containerStatuses"][0]["restartCount"] == 1)
    row = pod["status"]["containerStatuses"][0]
    assert row["lastState"]["terminated"]["reason"] == "StartError"
    assert "nonsense" in row["lastState"]["terminated"]["message"]
    assert row["state"]["waiting"]["reason"] in ("RunContainerError", "CrashLoopBackOff")


@pytest.mark.parametrize("where", ["containers", "initContainers"])
def test_a_command_that_does_not_exist_ends_a_pod_that_never_restarts(kubelet: Kubelet, where: str) -> None:
    spec: dict[str, Any] = {where: [{"name": "bad", "image": IMAGE, "command": ["nonsense"]}]}
    kubelet.run(restartPolicy="Never", **spec)
    status = kubelet.wait(finished)["status"]
    assert status["phase"] == "Failed"
    rows = status["containerStatuses" if where == "containers" else "initContainerStatuses"]
    assert rows[0]["state"]["terminated"]["reason"] == "StartError"


def test_sidecars_and_containers_share_one_grace_period(kubelet: Kubelet, api: Api) -> None:
    deaf = {"image": IMAGE, "command": ["sh", "-c", f"trap '' TERM; {LOOP}"]}
    sidecars = [{"name": f"side{number}", "restartPolicy": "Always", **deaf} for number in range(3)]
    kubelet.run(container=deaf, initContainers=sidecars, terminationGracePeriodSeconds=3)
    kubelet.wait_ready()
    began = time.monotonic()
    api.delete(PODS, "p", "ns", grace_period=3)
    kubelet.wait_gone()
    # The grace period, then two seconds for those that had to wait; four periods one after the other would be twelve.
    assert time.monotonic() - began < 9


def test_image_that_cannot_be_pulled(kubelet: Kubelet) -> None:
    kubelet.run(container={"image": "127.0.0.1:9/none:1"})  # nothing listens there, and nothing leaves the machine
    kubelet.wait(lambda status: waits(status) == "ErrImagePull")
    kubelet.wait(lambda status: waits(status) == "ImagePullBackOff")
    assert "connection refused" in kubelet.wait_event("Failed: Failed to pull")


def waits(status: Any) -> str:
    return str((status["containerStatuses"][0]["state"].get("waiting") or {}).get("reason"))


def test_probes(kubelet: Kubelet, api: Api) -> None:
    serve = "mkdir /tmp/w; sleep 1; echo x > /tmp/w/ok; httpd -p 8080 -h /tmp/w; sleep 1000"
    kubelet.run(
        container={
            **script(serve),
            "ports": [{"name": "web", "containerPort": 8080}],
            "startupProbe": {"tcpSocket": {"port": "web"}, "periodSeconds": 1, "failureThreshold": 30},
            "readinessProbe": {"httpGet": {"path": "/ok", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1},
            "livenessProbe": {"exec": {"command": ["test", "!", "-f", "/tmp/dead"]}, "periodSeconds": 1},
        }
    )
    kubelet.wait(lambda status: status["phase"] == "Running" and not status["containerStatuses"][0]["started"])
    kubelet.wait_ready()
    execute(kubelet, "rm", "/tmp/w/ok")
    kubelet.wait(lambda status: status["phase"] == "Running" and not status["containerStatuses"][0]["ready"])
    kubelet.wait_event("Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 404")
    execute(kubelet, "touch", "/tmp/dead")
    kubelet.wait(lambda status: status["containerStatuses"][0]["restartCount"] == 1)
    kubelet.wait_event("Killing: Container c failed liveness probe, will be restarted")


def test_a_probe_that_takes_too_long_is_killed(kubelet: Kubelet) -> None:
    probe = {"exec": {"command": ["sleep", "77"]}, "timeoutSeconds": 1, "periodSeconds": 60}
    kubelet.run(container={"readinessProbe": probe})
    kubelet.wait_event('Unhealthy: Readiness probe failed: command "sleep 77" timed out after 1s')
    wait_until(lambda: "sleep 77" not in execute(kubelet, "ps"))


def test_hooks(kubelet: Kubelet, api: Api, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    kubelet.run(
        container={
            **script(f"trap 'echo -n term. >> /v/log; exit 0' TERM; {LOOP}"),
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            "lifecycle": {
                "postStart": {"exec": {"command": ["sh", "-c", "echo -n post. >> /v/log"]}},
                "preStop": {"exec": {"command": ["sh", "-c", "echo -n pre. >> /v/log"]}},
            },
        },
        volumes=[{"name": "v", "hostPath": {"path": str(shared), "type": "DirectoryOrCreate"}}],
        terminationGracePeriodSeconds=30,
    )
    kubelet.wait_ready()
    wait_until((shared / "log").exists)
    api.delete(PODS, "p", "ns")
    kubelet.wait_gone()
    assert (shared / "log").read_text() == "post.pre.term."


def test_a_post_start_hook_that_fails(kubelet: Kubelet) -> None:
    kubelet.run(container={"command": POLITE, "lifecycle": {"postStart": {"exec": {"command": ["false"]}}}})
    kubelet.wait(lambda status: status["containerStatuses"][0]["restartCount"] == 1)
    kubelet.wait_event("FailedPostStartHook: PostStartHook failed")


def test_containers_of_a_pod_share_network_and_ipc(kubelet: Kubelet, docker_runtime: DockerRuntime) -> None:
    server = {"name": "web", "image": kubelet_image(), **script("echo -n hi > /tmp/x; httpd -f -p 80 -h /tmp")}
    client = {"name": "c", "image": kubelet_image(), **script("until wget -qO- 127.0.0.1/x; do sleep 0.1; done; ps")}
    kubelet.run(containers=[server, client], restartPolicy="OnFailure")
    pod = kubelet.wait(lambda status: any("terminated" in row["state"] for row in status["containerStatuses"]))
    text = text_of(docker_runtime, pod)
    assert text.startswith("hi")
    assert "httpd" not in text


def test_shared_process_namespace(kubelet: Kubelet, docker_runtime: DockerRuntime) -> None:
    kubelet.run(container=script("ps"), shareProcessNamespace=True, restartPolicy="Never")
    assert "sleep infinity" in text_of(docker_runtime, kubelet.wait(finished))


def test_host_network(kubelet: Kubelet, docker_runtime: DockerRuntime) -> None:
    interfaces = "ls /sys/class/net; cat /etc/hosts"
    kubelet.run(container=script(interfaces), hostNetwork=True, restartPolicy="Never")
    pod = kubelet.wait(finished)
    assert pod["status"]["podIP"] == "172.17.0.1"
    text = text_of(docker_runtime, pod)
    assert "docker0" in text
    assert "# Kubernetes-managed hosts file (host network)." in text


def test_host_port(kubelet: Kubelet) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kubelet.run(
        container={
            **script("echo -n hi > /tmp/x; httpd -f -p 80 -h /tmp"),
            "ports": [{"containerPort": 80, "hostPort": port, "hostIP": "127.0.0.1"}],
        }
    )
    kubelet.wait_ready()

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/x", timeout=5) as answer:
                return bool(answer.read() == b"hi")
        except OSError:
            return False

    wait_until(answers)


def test_hairpin_mode(kubelet: Kubelet, docker_runtime: DockerRuntime) -> None:
    kubelet.run()
    kubelet.wait_ready()
    pid = kubelet.agent.sandbox_pid("ns", "p")
    peer = Path(f"/proc/{pid}/root/sys/class/net/eth0/iflink").read_text().strip()
    name = next(p.parent.name for p in Path("/sys/class/net").glob("*/ifindex") if p.read_text().strip() == peer)
    assert Path(f"/sys/class/net/{name}/brport/hairpin_mode").read_text().strip() == "1"


def test_security(kubelet: Kubelet, docker_runtime: DockerRuntime) -> None:
    kubelet.run(
        container={
            **script("touch /x; cat /proc/self/status"),
            "securityContext": {
                "readOnlyRootFilesystem": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        },
        restartPolicy="Never",
    )
    text = text_of(docker_runtime, kubelet.wait(finished))
    assert "touch: /x: Read-only file system" in text
    fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    assert fields["NoNewPrivs"].strip() == "1"
    assert int(fields["CapEff"], 16) == 1 << 10
    assert fields["Seccomp"].strip() == "2"


def test_resources(kubelet: Kubelet, docker_runtime: DockerRuntime) -> None:
    limits = {"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "100m", "memory": "32Mi"}}
    kubelet.run(container={"resources": limits})
    pod = kubelet.wait_ready()
    assert pod["status"]["qosClass"] == "Burstable"
    container_id = kubelet.agent.container_id("ns", "p", "c")
    host = docker_runtime.client.inspect_container(container_id)["HostConfig"]
    assert (host["CpuShares"], host["CpuQuota"], host["Memory"]) == (102, 50000, 64 * 2**20)
    assert 3 <= host["OomScoreAdj"] <= 999


def test_kubelet_restart(kubelet: Kubelet, docker_runtime: DockerRuntime, api: Api) -> None:
    """Healthy pods are left alone, also those with probes; what happened meanwhile is caught up on."""
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    kubelet.run(container={"command": POLITE, "readinessProbe": probe})
    pod = kubelet.wait_ready()
    kubelet.run("dies", container=script("sleep 1; exit 5"))
    kubelet.wait_ready("dies")
    patches = len(api.log)
    kubelet.stop()
    wait_until(lambda: any(c.state == "exited" for c in docker_runtime.containers()))
    kubelet.start()
    restarted = kubelet.wait(lambda status: status["containerStatuses"][0]["restartCount"] == 1, "dies")
    assert restarted["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 5
    shown = api.pod("p")
    assert shown is not None and shown["status"] == pod["status"]
    touched = [event.object["metadata"]["name"] for _, kind, event in api.log[patches:] if kind == PODS]
    assert "p" not in touched


def test_a_killed_container_comes_back(kubelet: Kubelet, docker_runtime: DockerRuntime) -> None:
    kubelet.run()
    pod = kubelet.wait_ready()
    docker_runtime.signal(kubelet.agent.container_id("ns", "p", "c"), "SIGKILL")
    again = kubelet.wait(runs_again)
    assert again["status"]["podIP"] == pod["status"]["podIP"]


def test_a_killed_sandbox_comes_back(kubelet: Kubelet, docker_runtime: DockerRuntime) -> None:
    kubelet.run(container={"command": POLITE})
    kubelet.wait_ready()
    docker_runtime.signal(next(c.id for c in docker_runtime.containers() if c.sandbox), "SIGKILL")
    kubelet.wait(runs_again)
    assert [c.attempt for c in docker_runtime.containers() if c.sandbox and c.running] == [1]


def test_a_container_removed_by_hand_comes_back(kubelet: Kubelet, docker_runtime: DockerRuntime) -> None:
    kubelet.run()
    kubelet.wait_ready()
    docker_runtime.remove(kubelet.agent.container_id("ns", "p", "c"))
    kubelet.wait(runs_again)


def test_foreign_containers_are_not_seen(kubelet: Kubelet, docker_runtime: DockerRuntime, api: Api) -> None:
    client = docker_runtime.client
    foreign = client.create_container(kubelet_image(), ["sleep", "1000"], detach=True)["Id"]
    try:
        client.start(foreign)
        kubelet.run()
        kubelet.wait_ready()
        kubelet.restart()
        api.delete(PODS, "p", "ns")
        kubelet.wait_gone()
        assert client.inspect_container(foreign)["State"]["Running"]
        assert foreign not in [container.id for container in docker_runtime.containers()]
    finally:
        client.remove_container(foreign, force=True)


def test_dead_containers_are_collected(kubelet: Kubelet, docker_runtime: DockerRuntime) -> None:
    kubelet.run()
    kubelet.wait_ready()
    docker_runtime.signal(kubelet.agent.container_id("ns", "p", "c"), "SIGKILL")
    kubelet.wait(runs_again)
    docker_runtime.signal(kubelet.agent.container_id("ns", "p", "c"), "SIGKILL")
    kubelet.wait(lambda status: waits(status) == "CrashLoopBackOff")
    kubelet.wait(lambda status: "running" in status["containerStatuses"][0]["state"])
    wait_until(lambda: sorted(c.attempt for c in docker_runtime.containers() if not c.sandbox) == [1, 2])


def test_eight_pods_at_once(kubelet: Kubelet, docker_runtime: DockerRuntime) -> None:
    for number in range(8):
        kubelet.run(f"p{number}", container={"command": POLITE})
    addresses = {kubelet.wait_ready(f"p{number}")["status"]["podIP"] for number in range(8)}
    assert len(addresses) == 8


def test_labels_as_dockershim_has_them(kubelet: Kubelet, docker_runtime: DockerRuntime) -> None:
    kubelet.run()
    pod = kubelet.wait_ready()
    found = docker_runtime.client.inspect_container(kubelet.agent.container_id("ns", "p", "c"))
    labels = found["Config"]["Labels"]
    assert labels["io.kubernetes.pod.name"] == "p"
    assert labels["io.kubernetes.pod.namespace"] == "ns"
    assert labels["io.kubernetes.docker.type"] == "container"
    assert found["Name"] == f"/k8s_c_p_ns_{pod['metadata']['uid']}_0"
    json.dumps(labels)


def test_runtime_classes(kubelet: Kubelet, api: Api) -> None:
    """Docker's own runtime by its name, and one that it does not have."""
    for name, handler in (("known", "runc"), ("unknown", "kata-of-nobody")):
        api.create(RUNTIME_CLASSES, {"metadata": {"name": name}, "handler": handler})
        kubelet.run(name, runtimeClassName=name)
    kubelet.wait_ready("known")
    assert "kata-of-nobody" in kubelet.wait_event("FailedCreatePodSandBox")
