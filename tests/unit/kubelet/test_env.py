"""The environment of containers: order of precedence, references, expansion, service variables."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from kubelet.container.env import ConfigError, VariableSources, environment, expand, service_variables
from kubelet.container.fieldref import DownwardApi
from machinery.objects import Object

CONFIG = {"metadata": {"name": "cm"}, "data": {"a": "1", "b": "two", "x=y": "skipped"}}
SECRET = {"metadata": {"name": "s"}, "data": {"user": base64.b64encode(b"bob").decode()}}


def lookup(kind: str, namespace: str, name: str) -> Object | None:
    assert namespace == "ns"
    return {("configmap", "cm"): CONFIG, ("secret", "s"): SECRET}.get((kind, name))


def variables(pod: Object, services: list[Object] | None = None, **container: Any) -> dict[str, str]:
    downward = DownwardApi(pod, ("172.17.0.2",), "172.17.0.1", {"cpu": "2", "memory": "4Gi"})
    return environment(VariableSources(downward, lookup, services or []), {**pod["spec"]["containers"][0], **container})


def service(name: str, namespace: str = "ns", address: str = "172.30.0.9", *ports: Object) -> Object:
    rows = list(ports) or [{"port": 80}]
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": address, "ports": rows}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)-$(B)", "1-2"),
        ("$$(A)", "$(A)"),
        ("$(NO)", "$(NO)"),
        ("$$$(A)", "$1"),
        ("$A $( $", "$A $( $"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expected


def test_a_variable_sees_those_before_it(make_pod: Any) -> None:
    env = [{"name": "X", "value": "$(Y)"}, {"name": "Y", "value": "1"}, {"name": "Z", "value": "$(Y)2"}]
    assert variables(make_pod(), env=env) == {"X": "$(Y)", "Y": "1", "Z": "12"}


def test_env_overrides_env_from_and_env_from_services(make_pod: Any) -> None:
    found = variables(
        make_pod(),
        [service("a")],
        envFrom=[{"configMapRef": {"name": "cm"}}, {"secretRef": {"name": "s"}, "prefix": "S_"}],
        env=[{"name": "a", "value": "mine"}, {"name": "A_SERVICE_HOST", "value": "other"}],
    )
    assert found["a"] == "mine"
    assert found["b"] == "two"
    assert found["S_user"] == "bob"
    assert found["A_SERVICE_HOST"] == "other"
    assert found["A_SERVICE_PORT"] == "80"
    assert "x=y" not in found


def test_downward_api(make_pod: Any) -> None:
    pod = make_pod({"labels": {"tier": "web"}}, nodeName="n", serviceAccountName="sa")
    paths = {
        "metadata.name": "p",
        "metadata.namespace": "ns",
        "metadata.uid": "uid-p",
        "metadata.labels['tier']": "web",
        "metadata.annotations['none']": "",
        "spec.nodeName": "n",
        "spec.serviceAccountName": "sa",
        "status.podIP": "172.17.0.2",
        "status.hostIP": "172.17.0.1",
    }
    env = [{"name": path, "valueFrom": {"fieldRef": {"fieldPath": path}}} for path in paths]
    assert variables(pod, env=env) == paths


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({"resource": "limits.cpu"}, "1"),
        ({"resource": "limits.cpu", "divisor": "1m"}, "250"),
        ({"resource": "requests.memory", "divisor": "1Mi"}, "32"),
        ({"resource": "limits.memory", "divisor": "1Gi"}, "4"),  # not set: what the node can give
        ({"resource": "requests.cpu"}, "0"),
    ],
)
def test_resources(make_pod: Any, reference: Object, expected: str) -> None:
    spec = {"name": "c", "image": "i", "resources": {"limits": {"cpu": "250m"}, "requests": {"memory": "32Mi"}}}
    env = [{"name": "R", "valueFrom": {"resourceFieldRef": reference}}]
    assert variables(make_pod(containers=[spec]), env=env) == {"R": expected}


@pytest.mark.parametrize(
    ("container", "message"),
    [
        (
            {"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "a"}}}]},
            'configmap "no" not found',
        ),
        (
            {"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "no"}}}]},
            "couldn't find key no in ConfigMap ns/cm",
        ),
        (
            {"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "no"}}}]},
            "couldn't find key no in Secret ns/s",
        ),
        ({"envFrom": [{"secretRef": {"name": "no"}}]}, 'secret "no" not found'),
    ],
)
def test_what_is_missing(make_pod: Any, container: Object, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        variables(make_pod(), **container)
    assert str(raised.value) == message


def test_what_may_be_missing(make_pod: Any) -> None:
    reference = {"name": "no", "key": "a", "optional": True}
    env = [{"name": "X", "valueFrom": {"configMapKeyRef": reference}}, {"name": "Y", "value": "1"}]
    assert variables(make_pod(), env=env, envFrom=[{"configMapRef": {"name": "no", "optional": True}}]) == {"Y": "1"}


def test_variables_of_a_service(make_pod: Any) -> None:
    ports = ({"name": "http-web", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"})
    assert service_variables([service("my-svc", "ns", "172.30.0.9", *ports)], make_pod()) == {
        "MY_SVC_SERVICE_HOST": "172.30.0.9",
        "MY_SVC_SERVICE_PORT": "80",
        "MY_SVC_SERVICE_PORT_HTTP_WEB": "80",
        "MY_SVC_SERVICE_PORT_DNS": "53",
        "MY_SVC_PORT": "tcp://172.30.0.9:80",
        "MY_SVC_PORT_80_TCP": "tcp://172.30.0.9:80",
        "MY_SVC_PORT_80_TCP_PROTO": "tcp",
        "MY_SVC_PORT_80_TCP_PORT": "80",
        "MY_SVC_PORT_80_TCP_ADDR": "172.30.0.9",
        "MY_SVC_PORT_53_UDP": "udp://172.30.0.9:53",
        "MY_SVC_PORT_53_UDP_PROTO": "udp",
        "MY_SVC_PORT_53_UDP_PORT": "53",
        "MY_SVC_PORT_53_UDP_ADDR": "172.30.0.9",
    }


def test_which_services_show(make_pod: Any) -> None:
    services = [
        service("own"),
        service("other", "elsewhere"),
        service("headless", "ns", "None"),
        service("kubernetes", "default", "172.30.0.1"),
    ]
    assert hosts(services, make_pod()) == {"OWN_SERVICE_HOST", "KUBERNETES_SERVICE_HOST"}
    assert hosts(services, make_pod(enableServiceLinks=False)) == {"KUBERNETES_SERVICE_HOST"}


def hosts(services: list[Object], pod: Object) -> set[str]:
    return {name for name in service_variables(services, pod) if name.endswith("_SERVICE_HOST")}
