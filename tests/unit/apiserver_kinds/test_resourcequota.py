"""What admission charges to quotas and what it refuses, in upstream's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from apiserver.admission.resourcequota import ResourceQuota
from apiserver.kinds.configmaps import CONFIG_MAPS
from apiserver.kinds.events import EVENTS
from apiserver.kinds.leases import LEASES
from apiserver.kinds.namespaces import NAMESPACES
from apiserver.kinds.pods.row import PODS
from apiserver.kinds.resourcequotas import RESOURCE_QUOTAS
from apiserver.kinds.services.ranges import ServiceRanges
from apiserver.kinds.services.row import services
from apiserver.model.kind import Kind
from apiserver.model.user import User
from apiserver.registry.admissionrequest import AdmissionRequest
from apiserver.registry.writerequest import WriteRequest
from machinery.errors import Forbidden

Object = dict[str, Any]


def quota(hard: Object, used: Object | None = None, name: str = "q", **spec: Any) -> Object:
    meta = {"name": name, "namespace": "t", "resourceVersion": "7"}
    status = {"hard": hard, "used": dict.fromkeys(hard, "0") if used is None else used}
    return {
        "kind": "ResourceQuota",
        "apiVersion": "v1",
        "metadata": meta,
        "spec": {"hard": hard, **spec},
        "status": status,
    }


class Quotas:
    """The quotas of the namespace."""

    def __init__(self, items: Sequence[Object]) -> None:
        self.items = items

    def get(self, kind: Kind, namespace: str, name: str, *, consistent: bool = False) -> Object | None:
        raise NotImplementedError

    def await_object(self, kind: Kind, namespace: str, name: str, seconds: float) -> Object | None:
        raise NotImplementedError

    def list(self, kind: Kind, namespace: str = "", *, consistent: bool = False) -> Sequence[Object]:
        assert (kind, namespace, consistent) == (RESOURCE_QUOTAS, "t", True)
        return self.items


def charged(
    kind: Kind, obj: Object, *quotas: Object, old: Object | None = None, subresource: str = ""
) -> dict[str, Object]:
    """Quotas that are to be replaced, by name, with what is used then."""
    write = WriteRequest(kind, "t" if kind.namespaced else "", "", User("u"), subresource)
    request = AdmissionRequest("UPDATE" if old else "CREATE", write, obj, old, Quotas(quotas))
    plugin = ResourceQuota()
    entries = [swap.entry for swap in plugin.validate(request)] if plugin.handles(request) else []
    written = [(entry.key, entry.revision, orjson.loads(entry.value)) for entry in entries]
    assert all(revision == 7 and key.startswith("/registry/resourcequotas/t/") for key, revision, _ in written)
    return {new["metadata"]["name"]: new["status"]["used"] for _, _, new in written}


def refusal(*arguments: Any, **more: Any) -> str:
    with pytest.raises(Forbidden) as error:
        charged(*arguments, **more)
    return error.value.message


def pod(requests: Object | None = None, limits: Object | None = None, qos: str = "Burstable") -> Object:
    containers = [{"name": "a", "resources": {"requests": requests or {}, "limits": limits or {}}}]
    return {"metadata": {"name": "web"}, "spec": {"containers": containers}, "status": {"qosClass": qos}}


def service(type_: str, ports: int = 1) -> Object:
    meta = {"name": "web", "resourceVersion": "3"}
    return {"metadata": meta, "spec": {"type": type_, "ports": [{"port": n + 1} for n in range(ports)]}}


CONFIG = {"metadata": {"name": "c"}}


def test_what_is_created_is_added_to_what_is_used() -> None:
    limits = quota(
        {"pods": "3", "requests.cpu": "2", "memory": "4Gi"}, {"pods": "1", "requests.cpu": "500m", "memory": "0"}
    )
    assert charged(PODS, pod({"cpu": "250m", "memory": "1Gi"}), limits) == {
        "q": {"pods": "2", "requests.cpu": "750m", "memory": "1Gi"}
    }


def test_the_quota_is_otherwise_written_as_it_was() -> None:
    given = quota({"configmaps": "3"})
    write = WriteRequest(CONFIG_MAPS, "t", "c", User("u"))
    request = AdmissionRequest("CREATE", write, CONFIG, None, Quotas([given]))
    [swap] = ResourceQuota().validate(request)
    new = orjson.loads(swap.entry.value)
    assert new["status"].pop("used") == {"configmaps": "1"}
    del given["status"]["used"], given["metadata"]["resourceVersion"]
    assert new == given


def test_what_would_be_too_much_is_refused() -> None:
    limits = quota(
        {"pods": "3", "requests.cpu": "2", "limits.cpu": "2"}, {"pods": "3", "requests.cpu": "1500m", "limits.cpu": "0"}
    )
    assert refusal(PODS, pod({"cpu": "1"}, {"cpu": "1"}), limits) == (
        'pods "web" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=1, '
        "used: pods=3,requests.cpu=1500m, limited: pods=3,requests.cpu=2"
    )


def test_every_container_must_state_what_is_limited() -> None:
    limits = quota({"requests.cpu": "2", "limits.memory": "1Gi", "requests.ephemeral-storage": "1Gi"})
    two = pod({"cpu": "1"})
    two["spec"]["initContainers"] = [{"name": "i"}]
    assert refusal(PODS, two, limits) == (
        'pods "web" is forbidden: failed quota: q: must specify limits.memory for: a,i; requests.cpu for: i'
    )


def test_nothing_is_created_while_it_is_not_known_what_is_used() -> None:
    unknown = quota({"count/configmaps": "2", "configmaps": "2"}, {"configmaps": "0"})
    assert refusal(CONFIG_MAPS, CONFIG, unknown) == (
        'configmaps "c" is forbidden: status unknown for quota: q, resources: configmaps,count/configmaps'
    )
    fresh = {**quota({"configmaps": "2"}), "status": {}}
    assert charged(CONFIG_MAPS, CONFIG, fresh) == {}


def test_only_quotas_about_the_kind_and_its_scope_are_charged() -> None:
    best = quota({"pods": "1"}, name="best", scopes=["BestEffort"])
    other = quota({"pods": "1"}, name="other", scopes=["NotBestEffort"])
    secrets = quota({"secrets": "1"}, name="secrets")
    everything = quota({"count/pods": "5"}, {"count/pods": "4"}, name="all")
    assert charged(PODS, pod(qos="BestEffort"), best, other, secrets, everything) == {
        "best": {"pods": "1"},
        "all": {"count/pods": "5"},
    }
    assert charged(LEASES, CONFIG, quota({"count/leases.coordination.k8s.io": "1"})) == {
        "q": {"count/leases.coordination.k8s.io": "1"}
    }


def test_a_quota_is_charged_for_quotas() -> None:
    limits = quota({"resourcequotas": "1"}, {"resourcequotas": "1"})
    assert "requested: resourcequotas=1, used: resourcequotas=1, limited: resourcequotas=1" in refusal(
        RESOURCE_QUOTAS, {"metadata": {"name": "second"}}, limits
    )


SERVICES = services(ServiceRanges())


def test_an_update_is_charged_for_what_is_more() -> None:
    limits = quota({"services": "5", "services.nodeports": "3"}, {"services": "5", "services.nodeports": "1"})
    assert charged(SERVICES, service("NodePort", 2), limits, old=service("ClusterIP", 2)) == {
        "q": {"services": "5", "services.nodeports": "3"}
    }
    assert charged(SERVICES, service("ClusterIP"), limits, old=service("NodePort")) == {}
    assert refusal(SERVICES, service("NodePort", 3), limits, old=service("ClusterIP", 3)) == (
        'services "web" is forbidden: exceeded quota: q, requested: services.nodeports=3, used: services.nodeports=1, '
        "limited: services.nodeports=3"
    )
    full = quota({"pods": "1"}, {"pods": "1"})
    assert charged(PODS, pod(), full, old=pod()) == {}


def test_some_requests_are_no_business_of_quotas() -> None:
    full = quota({"count/events": "0", "count/namespaces": "0", "pods": "0"})
    assert charged(EVENTS, CONFIG, full) == {}
    assert charged(NAMESPACES, CONFIG, full) == {}
    assert charged(PODS, pod(), full, subresource="binding") == {}
