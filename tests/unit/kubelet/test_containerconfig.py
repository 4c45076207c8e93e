"""What the runtime is told: security, limits, names, ports, image references."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet.container import config, limits
from kubelet.container.env import ConfigError
from kubelet.container.security import security
from kubelet.model import images, names
from kubelet.model.names import ClusterDns
from kubelet.model.runtime import PortBinding, RuntimeImage
from kubelet.runtime.dockerconfig import container_config, sandbox_config
from kubelet.runtime.dockerstate import timestamp
from machinery.objects import Object
from machinery.pods import qos_class

DNS = ClusterDns(("172.30.0.10",), "cluster.local")
HOST = "nameserver 10.0.0.1\nsearch example.com .\noptions timeout:1\n"


def secured(pod: Object, image: RuntimeImage | None = None) -> Any:
    return security(pod, pod["spec"]["containers"][0], image or RuntimeImage("i"))


def with_context(make_pod: Any, own: Object, of_pod: Object | None = None) -> Object:
    container = {"name": "c", "image": "i", "securityContext": own}
    pod: Object = make_pod(containers=[container], securityContext=of_pod or {})
    return pod


def test_the_container_counts_before_the_pod(make_pod: Any) -> None:
    pod = with_context(make_pod, {"runAsUser": 0}, {"runAsUser": 7, "runAsGroup": 8, "supplementalGroups": [9, 10]})
    found = secured(pod)
    assert (found.user, found.groups) == ("0:8", ("9", "10"))


def test_fs_group_is_a_supplemental_group(make_pod: Any) -> None:
    assert secured(with_context(make_pod, {}, {"fsGroup": 5, "supplementalGroups": [5, 6]})).groups == ("5", "6")


def test_options(make_pod: Any) -> None:
    assert secured(with_context(make_pod, {})).options == ("seccomp=unconfined",)
    default = {"allowPrivilegeEscalation": False, "seccompProfile": {"type": "RuntimeDefault"}}
    assert secured(with_context(make_pod, default)).options == ("no-new-privileges",)


@pytest.mark.parametrize(
    ("user", "image", "message"),
    [
        (None, RuntimeImage("i"), "container has runAsNonRoot and image will run as root"),
        (None, RuntimeImage("i", user="0:5"), "container has runAsNonRoot and image will run as root"),
        (None, RuntimeImage("i", user="00"), "container has runAsNonRoot and image will run as root"),
        (None, RuntimeImage("i", user="+0:5"), "container has runAsNonRoot and image will run as root"),
        (None, RuntimeImage("i", user="²"), "container has runAsNonRoot and image has non-numeric user (²)"),
        (0, RuntimeImage("i", user="5"), "container's runAsUser breaks non-root policy"),
        (None, RuntimeImage("i", user="web"), "container has runAsNonRoot and image has non-numeric user (web)"),
    ],
)
def test_run_as_non_root_refuses(make_pod: Any, user: int | None, image: RuntimeImage, message: str) -> None:
    own = {"runAsNonRoot": True, **({} if user is None else {"runAsUser": user})}
    with pytest.raises(ConfigError) as raised:
        secured(with_context(make_pod, own), image)
    assert str(raised.value).startswith(message)
    assert '(pod: "p_ns(uid-p)", container: c)' in str(raised.value)


def test_run_as_non_root_lets_others_pass(make_pod: Any) -> None:
    assert secured(with_context(make_pod, {"runAsNonRoot": True}), RuntimeImage("i", user="5")).user == ""
    assert secured(with_context(make_pod, {"runAsNonRoot": True, "runAsUser": 5})).user == "5"


def resources(make_pod: Any, **given: Object) -> Object:
    pod: Object = make_pod(containers=[{"name": "c", "image": "i", "resources": given}])
    return pod


@pytest.mark.parametrize(
    ("given", "qos"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "0"}}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1"}}, "Burstable"),
        ({"limits": {"memory": "1Gi"}}, "Burstable"),
    ],
)
def test_qos_class(make_pod: Any, given: Object, qos: str) -> None:
    if given == {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}}:
        given["requests"]["memory"] = "512Mi"
    assert qos_class(resources(make_pod, **given)["spec"]) == qos


def test_limits(make_pod: Any) -> None:
    pod = resources(make_pod, limits={"cpu": "500m", "memory": "64Mi"}, requests={"cpu": "100m", "memory": "32Mi"})
    found = limits.limits(pod, pod["spec"]["containers"][0], node_memory=64 * 2**20)
    assert (found.cpu_shares, found.cpu_quota, found.memory) == (102, 50_000, 64 * 2**20)
    assert found.oom_score_adj == 500


@pytest.mark.parametrize(("qos", "request_", "expected"), [("Guaranteed", 1, 0), ("BestEffort", 0, 1000)])
def test_oom_score_never_goes_below_zero(qos: str, request_: int, expected: int) -> None:
    assert limits.oom_score_adj(qos, request_, 100) == expected


def test_oom_score_of_burstable_pods_stays_between_the_others() -> None:
    assert limits.oom_score_adj("Burstable", 0, 100) == 999
    assert limits.oom_score_adj("Burstable", 100, 100) == 3


def test_hosts_file(make_pod: Any) -> None:
    pod = make_pod(hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}], hostname="h", subdomain="sub")
    text = names.hosts_file(pod, "172.17.0.2", DNS, "")
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "\n172.17.0.2\th.sub.ns.svc.cluster.local\th\n" in text
    assert text.endswith("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")


def test_hosts_file_of_the_node(make_pod: Any) -> None:
    text = names.hosts_file(make_pod(hostNetwork=True), "", DNS, "127.0.0.1 node\n")
    assert text == "# Kubernetes-managed hosts file (host network).\n127.0.0.1 node\n"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {},
            "search ns.svc.cluster.local svc.cluster.local cluster.local example.com\n"
            "nameserver 172.30.0.10\noptions ndots:5\n",
        ),
        ({"dnsPolicy": "Default"}, "search example.com\nnameserver 10.0.0.1\noptions timeout:1\n"),
        ({"hostNetwork": True}, "search example.com\nnameserver 10.0.0.1\noptions timeout:1\n"),
        (
            {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"},
            "search ns.svc.cluster.local svc.cluster.local cluster.local example.com\n"
            "nameserver 172.30.0.10\noptions ndots:5\n",
        ),
        (
            {
                "dnsPolicy": "None",
                "dnsConfig": {
                    "nameservers": ["1.1.1.1"],
                    "searches": ["x.y"],
                    "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
                },
            },
            "search x.y\nnameserver 1.1.1.1\noptions ndots:2 edns0\n",
        ),
    ],
)
def test_resolv_conf(make_pod: Any, given: Object, expected: str) -> None:
    assert names.resolv_conf(make_pod(**given), DNS, HOST) == expected


def test_host_name_of_a_long_pod_name(make_pod: Any) -> None:
    assert names.hostname(make_pod({"name": "a" * 62 + "-b"})) == "a" * 62
    assert names.kernel_hostname(make_pod(subdomain="s", setHostnameAsFQDN=True), DNS) == "p.s.ns.svc.cluster.local"


def test_sandbox_publishes_host_ports_only(make_pod: Any) -> None:
    ports = [{"containerPort": 80}, {"containerPort": 53, "hostPort": 1053, "protocol": "UDP", "hostIP": "127.0.0.1"}]
    plan = config.sandbox_config(make_pod(containers=[{"name": "c", "image": "i", "ports": ports}]), 2, "box", DNS)
    assert plan.ports == (PortBinding(53, 1053, "udp", "127.0.0.1"),)
    assert plan.name == "k8s_POD_p_ns_uid-p_2"
    host = sandbox_config(plan, "mine")["HostConfig"]
    assert host["PortBindings"] == {"53/udp": [{"HostIp": "127.0.0.1", "HostPort": "1053"}]}


def test_container_config(make_pod: Any) -> None:
    container = {"name": "c", "image": "i", "command": ["echo", "$(A)"], "args": ["$(B)"], "stdin": True}
    pod = make_pod(containers=[container], hostPID=True)
    inputs = config.ContainerInputs("box", 3, RuntimeImage("i"), {"A": "1"}, (), 1)
    made = container_config(config.container_config(pod, container, inputs), "mine")
    assert (made["Entrypoint"], made["Cmd"], made["Env"]) == (["echo", "1"], ["$(B)"], ["A=1"])
    assert made["Labels"]["mini-minishift.cluster"] == "mine"
    assert made["Labels"]["io.kubernetes.container.restartCount"] == "3"
    host = made["HostConfig"]
    assert (host["NetworkMode"], host["IpcMode"], host["PidMode"]) == ("container:box", "container:box", "host")
    assert host["OomScoreAdj"] == 1000


def test_what_the_image_says_is_left_alone(make_pod: Any) -> None:
    pod = make_pod()
    inputs = config.ContainerInputs("box", 0, RuntimeImage("i"), {}, (), 1)
    made = container_config(config.container_config(pod, pod["spec"]["containers"][0], inputs), "mine")
    assert "Entrypoint" not in made
    assert "Cmd" not in made


@pytest.mark.parametrize(
    "reference",
    ["busybox", "sise:0.4.0", "127.0.0.1:5000/a/b:1", "k8s.gcr.io/pause:3.2", "a/b@sha256:" + "0" * 64, "[::1]:5000/x"],
)
def test_good_image_names(reference: str) -> None:
    assert images.complaint(reference) == ""


@pytest.mark.parametrize("reference", ["Foo//Bar", "UPPER", "a:b:c", "", "a b", "x@sha256:1"])
def test_bad_image_names(reference: str) -> None:
    assert "invalid reference format" in images.complaint(reference)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("busybox", "Always"),
        ("busybox:latest", "Always"),
        ("busybox:1", "IfNotPresent"),
        ("localhost:5000/busybox", "Always"),
        ("busybox@sha256:" + "0" * 64, "IfNotPresent"),
    ],
)
def test_pull_policy_by_name(image: str, expected: str) -> None:
    assert images.policy({"name": "c", "image": image}) == expected
    assert images.policy({"name": "c", "image": image, "imagePullPolicy": "Never"}) == "Never"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01.5Z", 1.5),
        ("1970-01-01T00:00:01.123456789Z", 1.123456789),
        ("1970-01-01T01:00:01+01:00", 1.0),
        ("1970-01-01T01:00:01.5+01:00", 1.5),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
    ],
)
def test_times_of_docker(text: str, expected: float | None) -> None:
    assert timestamp(text) == expected
