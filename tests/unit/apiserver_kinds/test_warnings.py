"""Upstream's warnings about pods, pod templates, Services and others, word for word."""

from __future__ import annotations

import time
from typing import Any

import pytest

from apiserver.kinds.pods.row import PODS
from apiserver.kinds.pods.warnings import pod_warnings
from apiserver.kinds.replicationcontrollers import REPLICATION_CONTROLLERS
from apiserver.kinds.runtimeclasses import RUNTIME_CLASSES
from apiserver.kinds.services.warnings import cidr_warnings, ip_warnings, service_warnings
from machinery.objects import Object

REQUIRED, PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
OLD_ARCH = {"matchExpressions": [{"key": "beta.kubernetes.io/arch", "operator": "Exists"}]}
ARCH = 'deprecated since v1.14; use "kubernetes.io/arch" instead'
NO_SELECTOR = "a null labelSelector results in matching no pod"


def container(**fields: Any) -> Object:
    return {"name": "c", "image": "i", **fields}


def ports(*given: Object) -> Object:
    return {"containers": [container(ports=list(given))]}


def env(*given: Object) -> Object:
    return {"containers": [container(env=list(given))]}


@pytest.mark.parametrize(
    ("spec", "warnings"),
    [
        (
            {"nodeSelector": {"beta.kubernetes.io/arch": "amd64"}},
            [f"spec.nodeSelector[beta.kubernetes.io/arch]: {ARCH}"],
        ),
        (
            {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{}, OLD_ARCH]}}}},
            [
                f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[1].matchExpressions[0].key: "
                f"beta.kubernetes.io/arch is {ARCH}"
            ],
        ),
        (
            {"affinity": {"nodeAffinity": {PREFERRED: [{"weight": 1, "preference": OLD_ARCH}]}}},
            [
                f"spec.affinity.nodeAffinity.{PREFERRED}[0].preference.matchExpressions[0].key: "
                f"beta.kubernetes.io/arch is {ARCH}"
            ],
        ),
        (
            {"topologySpreadConstraints": [{"topologyKey": "node-role.kubernetes.io/master"}]},
            [
                "spec.topologySpreadConstraints[0].topologyKey: node-role.kubernetes.io/master is "
                'use "node-role.kubernetes.io/control-plane" instead',
                f"spec.topologySpreadConstraints[0].labelSelector: {NO_SELECTOR}",
            ],
        ),
        (
            {
                "affinity": {
                    "podAffinity": {REQUIRED: [{"topologyKey": "a", "labelSelector": {}}, {"topologyKey": "a"}]},
                    "podAntiAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": {"topologyKey": "a"}}]},
                }
            },
            [
                f"spec.affinity.podAffinity.{REQUIRED}[1].labelSelector: {NO_SELECTOR}",
                f"spec.affinity.podAntiAffinity.{PREFERRED}[0].podAffinityTerm.labelSelector: {NO_SELECTOR}",
            ],
        ),
        (
            {"volumes": [{"name": "a", "gitRepo": {}}, {"name": "b", "cephfs": {}}, {"name": "c", "emptyDir": {}}]},
            [
                "spec.volumes[0].gitRepo: deprecated in v1.11",
                "spec.volumes[1].cephfs: deprecated in v1.28, non-functional in v1.31+",
            ],
        ),
        (
            {
                "volumes": [
                    {
                        "name": "a",
                        "projected": {
                            "sources": [
                                {
                                    "configMap": {
                                        "items": [{"key": "k", "path": "other"}, {"key": "k", "path": "token"}]
                                    }
                                },
                                {"secret": {"items": [{"key": "k", "path": "token"}]}},
                                {"serviceAccountToken": {"path": "token"}},
                            ]
                        },
                    }
                ]
            },
            [
                'spec.volumes[0].projected.sources.configMap[1]: has duplicated path with ServiceAccountToken "token"',
                'spec.volumes[0].projected.sources.secrets[0]: has duplicated path with ServiceAccountToken "token"',
            ],
        ),
        (
            {
                "hostAliases": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}],
                "imagePullSecrets": [{"name": "s"}, {"name": "s"}],
            },
            ['spec.hostAliases[1].ip: duplicate ip "10.0.0.1"', 'spec.imagePullSecrets[1].name: duplicate name "s"'],
        ),
        (
            {"overhead": {"memory": "100m"}},
            ['spec.overhead[memory]: fractional byte value "100m" is invalid, must be an integer'],
        ),
        (env({"name": "A", "value": "x"}, {"name": "A", "value": "$(A)y"}), []),
        (
            env({"name": "A", "value": "x"}, {"name": "A", "value": "$(A)"}),
            ['spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply'],
        ),
        (
            ports({"containerPort": 80, "hostIP": "10.0.0.1"}),
            [
                "spec.containers[0].ports[0]: hostIP set without hostPort: "
                "{Name: HostPort:0 ContainerPort:80 Protocol:TCP HostIP:10.0.0.1}"
            ],
        ),
        (
            ports({"containerPort": 80}, {"containerPort": 80, "hostPort": 8080}),
            ["spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]"],
        ),
        (
            ports(
                {"containerPort": 80, "hostPort": 8080}, {"containerPort": 80, "hostPort": 8080, "hostIP": "10.0.0.1"}
            ),
            ["spec.containers[0].ports[1]: dangerously ambiguous port definition with spec.containers[0].ports[0]"],
        ),
        (ports({"containerPort": 80, "hostPort": 1}, {"containerPort": 80, "hostPort": 2}), []),
        (ports({"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}), []),
        (
            {"initContainers": [container(ports=[{"containerPort": 80}])], **ports({"containerPort": 80})},
            ["spec.containers[0].ports[0]: duplicate port definition with spec.initContainers[0].ports[0]"],
        ),
    ],
)
def test_pods(spec: Object, warnings: list[str]) -> None:
    assert list(pod_warnings("", {"metadata": {}, "spec": {"containers": [], **spec}})) == warnings


def test_annotations_that_fields_have_replaced() -> None:
    names = {
        "scheduler.alpha.kubernetes.io/critical-pod": "",
        "seccomp.security.alpha.kubernetes.io/pod": "x",
        "container.seccomp.security.alpha.kubernetes.io/c": "x",
        "container.apparmor.security.beta.kubernetes.io/c": "x",
    }
    pod: Object = {"metadata": {"annotations": names}, "spec": {"containers": [container()]}}
    at, seccomp = (
        "spec.template.metadata.annotations",
        'non-functional in v1.27+; use the "seccompProfile" field instead',
    )
    critical, apparmor = 'non-functional in v1.16+; use the "priorityClassName"', "deprecated since v1.30; use the "
    assert list(pod_warnings("spec.template.", pod)) == [
        f"{at}[scheduler.alpha.kubernetes.io/critical-pod]: {critical} field instead",
        f"{at}[seccomp.security.alpha.kubernetes.io/pod]: {seccomp}",
        f"{at}[container.seccomp.security.alpha.kubernetes.io/c]: {seccomp}",
        f'{at}[container.apparmor.security.beta.kubernetes.io/c]: {apparmor}"appArmorProfile" field instead',
    ]
    pod["spec"]["securityContext"] = {"seccompProfile": {}, "appArmorProfile": {}}
    pod["spec"]["containers"][0]["securityContext"] = {"seccompProfile": {}}
    assert len(list(pod_warnings("spec.template.", pod))) == 1


def test_an_update_warns_only_of_what_it_changes() -> None:
    template = {"metadata": {}, "spec": {"containers": [container()], "terminationGracePeriodSeconds": -1}}
    controller = {"metadata": {"name": "a.b"}, "spec": {"template": template}}
    strategy = REPLICATION_CONTROLLERS.strategy
    assert len(strategy.warnings(controller)) == 2
    assert strategy.warnings({**controller, "spec": {"replicas": 3, "template": template}}, controller) == []
    other = {"metadata": {}, "spec": {**template["spec"], "nodeName": "n"}}
    assert len(strategy.warnings({**controller, "spec": {"template": other}}, controller)) == 1
    pod = {"metadata": {"name": "a.b"}, "spec": {"containers": []}}
    assert PODS.strategy.warnings(pod, pod) == []


def test_thousands_of_ports_cost_little() -> None:
    many = [{"containerPort": 80, "hostPort": 1 + number} for number in range(20_000)]
    began = time.process_time()
    assert list(pod_warnings("", {"metadata": {}, "spec": ports(*many)})) == []
    assert time.process_time() - began < 5  # comparing each with each would take minutes


@pytest.mark.parametrize(
    ("spec", "warnings"),
    [
        ({"clusterIP": "172.30.0.9", "clusterIPs": ["172.30.0.9"]}, []),
        (
            {"clusterIP": "172.30.0.09", "clusterIPs": ["172.30.0.09"]},
            [
                "spec.clusterIPs[0]: IP address was accepted, but will be invalid in a future Kubernetes release: "
                'ParseAddr("172.30.0.09"): IPv4 field has octet with leading zero'
            ],
        ),
        (
            {"externalIPs": ["010.1.1.1"]},
            [
                "spec.externalIPs[0]: IP address was accepted, but will be invalid in a future Kubernetes release: "
                'ParseAddr("010.1.1.1"): IPv4 field has octet with leading zero'
            ],
        ),
        (
            {
                "clusterIP": "None",
                "clusterIPs": ["None"],
                "externalIPs": ["10.1.1.1"],
                "loadBalancerIP": "10.1.1.1",
                "sessionAffinity": "ClientIP",
            },
            [
                "spec.loadBalancerIP is ignored for headless services",
                "spec.externalIPs is ignored for headless services",
                "spec.SessionAffinity is ignored for headless services",
            ],
        ),
        (
            {"type": "ExternalName", "externalName": "a.b", "externalIPs": ["10.1.1.1"]},
            ['spec.externalIPs is ignored when spec.type is "ExternalName"'],
        ),
        ({"externalName": "a.b"}, ['spec.externalName is ignored when spec.type is not "ExternalName"']),
        (
            {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/08"]},
            [
                "spec.loadBalancerSourceRanges[0]: IP prefix was accepted, but will be invalid in a future Kubernetes "
                'release: netip.ParsePrefix("10.0.0.0/08"): bad bits after slash: "08"'
            ],
        ),
    ],
)
def test_services(spec: Object, warnings: list[str]) -> None:
    service = {"metadata": {"name": "s"}, "spec": {"type": "ClusterIP", **spec}}
    assert list(service_warnings(service)) == warnings


def test_topology_aware_hints() -> None:
    meta = {"name": "s", "annotations": {"service.kubernetes.io/topology-aware-hints": "auto"}}
    assert list(service_warnings({"metadata": meta, "spec": {"type": "ClusterIP"}})) == [
        "annotation service.kubernetes.io/topology-aware-hints is deprecated, "
        "please use service.kubernetes.io/topology-mode instead"
    ]


def test_addresses_in_other_forms() -> None:
    canonical = "is not in RFC 5952 canonical format"
    assert list(ip_warnings("p", "2001:DB8::1")) == [
        f'p: IPv6 address "2001:DB8::1" {canonical} ("2001:db8::1"), which may cause controller apply-loops'
    ]
    assert list(ip_warnings("p", "::ffff:1.2.3.4")) == []
    assert list(cidr_warnings("p", "2001:0db8::/64")) == [
        f'p: IPv6 prefix "2001:0db8::/64" {canonical} ("2001:db8::/64"), which may cause controller apply-loops'
    ]


def test_runtime_classes() -> None:
    found = {"handler": "h", "scheduling": {"nodeSelector": {"beta.kubernetes.io/arch": "amd64"}}}
    assert RUNTIME_CLASSES.strategy.warnings(found) == [f"scheduling.nodeSelector: {ARCH}"]
