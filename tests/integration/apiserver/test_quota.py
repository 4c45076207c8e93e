"""Quotas and limit ranges through the API: charged exactly, whatever happens at the same time."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from integration.apiserver.conftest import Api
from integration.served import Ask, Served

from machinery.objects import Object

pytestmark = pytest.mark.etcd


def path(namespace: str, plural: str, *parts: str) -> str:
    return "/".join((f"/api/v1/namespaces/{namespace}/{plural}", *parts))


def make_quota(ask: Ask, namespace: str, **hard: str) -> None:
    """A quota with its first count, which is the controller's otherwise."""
    body: Object = {"metadata": {"name": "q"}, "spec": {"hard": hard}}
    made = ask("POST", path(namespace, "resourcequotas"), body).json
    assert made["status"] == {}
    made["status"] = {"hard": hard, "used": dict.fromkeys(hard, "0")}
    assert ask("PUT", path(namespace, "resourcequotas", "q", "status"), made).code == 200


def used(ask: Ask, namespace: str) -> Object:
    status: Object = ask("GET", path(namespace, "resourcequotas", "q")).json["status"]
    found: Object = status["used"]
    return found


def config(name: str, **more: Any) -> Object:
    return {"metadata": {"name": name}, **more}


def test_what_is_created_is_charged_and_what_fails_is_not(api: Api, namespace: str) -> None:
    make_quota(api, namespace, configmaps="2", services="1", **{"services.nodeports": "1"})
    configs, services = path(namespace, "configmaps"), path(namespace, "services")
    assert api("POST", configs, config("a")).code == 201
    assert api("POST", configs + "?dryRun=All", config("b")).code == 201
    assert api("POST", configs, config("a")).code == 409
    assert api("POST", configs, config("b", data={"a/b": ""})).code == 422
    assert used(api, namespace)["configmaps"] == "1"
    generated = api("POST", configs, {"metadata": {"generateName": "b-"}})
    assert generated.code == 201
    for query in ("", "?dryRun=All"):
        refused = api("POST", configs + query, config("c"))
        assert refused.code == 403
        assert refused.json["message"] == (
            'configmaps "c" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=2, '
            "limited: configmaps=2"
        )
    ports = [{"name": "a", "port": 1}, {"name": "b", "port": 2}]
    assert api("POST", services, config("s", spec={"ports": ports})).code == 201
    merge = {"Content-Type": "application/merge-patch+json"}
    both = api("PATCH", path(namespace, "services", "s"), {"spec": {"type": "NodePort"}}, merge)
    assert "requested: services.nodeports=2, used: services.nodeports=0, limited: services.nodeports=1" in str(both)
    one = api("PATCH", path(namespace, "services", "s"), {"spec": {"type": "NodePort", "ports": ports[:1]}}, merge)
    assert one.code == 200
    assert used(api, namespace) == {"configmaps": "2", "services": "1", "services.nodeports": "1"}


def test_a_quota_and_its_object_are_written_at_one_revision(api: Api, namespace: str) -> None:
    make_quota(api, namespace, configmaps="9")
    before = api("GET", path(namespace, "resourcequotas", "q")).json["metadata"]["resourceVersion"]
    made = api("POST", path(namespace, "configmaps"), config("a")).json
    events = api.events(path(namespace, "resourcequotas") + f"?watch=true&resourceVersion={before}", 1)
    assert [event["type"] for event in events] == ["MODIFIED"]
    assert events[0]["object"]["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_a_status_is_written_by_itself(api: Api, namespace: str) -> None:
    make_quota(api, namespace, pods="1")
    quota = path(namespace, "resourcequotas", "q")
    merge = {"Content-Type": "application/merge-patch+json"}
    changed = api("PATCH", quota, {"spec": {"hard": {"pods": "5"}}, "status": {"used": {"pods": "5"}}}, merge).json
    assert (changed["spec"]["hard"], changed["status"]["used"]) == ({"pods": "5"}, {"pods": "0"})
    changed = api(
        "PATCH", quota + "/status", {"spec": {"hard": {"pods": "7"}}, "status": {"used": {"pods": "3"}}}, merge
    )
    assert (changed.json["spec"]["hard"], changed.json["status"]["used"]) == ({"pods": "5"}, {"pods": "3"})
    wrong = api("PATCH", quota + "/status", {"status": {"used": {"pods": "-1"}}}, merge)
    assert wrong.json["message"] == (
        'ResourceQuota "q" is invalid: status.used[pods]: Invalid value: "-1": must be greater than or equal to 0'
    )


def test_a_pod_gets_the_defaults_of_its_namespace(api: Api, namespace: str) -> None:
    limits = [{"type": "Container", "default": {"cpu": "500m"}, "max": {"cpu": "1", "memory": "1Gi"}}]
    made = api("POST", path(namespace, "limitranges"), config("l", spec={"limits": limits})).json
    assert made["spec"]["limits"][0]["defaultRequest"] == {"cpu": "500m", "memory": "1Gi"}
    pod: Object = {"containers": [{"name": "a", "image": "b"}]}
    created = api("POST", path(namespace, "pods"), config("p", spec=pod)).json
    assert created["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "500m", "memory": "1Gi"},
        "limits": {"cpu": "500m", "memory": "1Gi"},
    }
    assert created["status"]["qosClass"] == "Guaranteed"
    assert created["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu, memory request for container a; cpu, memory limit for container a"
    )
    pod["containers"][0]["resources"] = {"limits": {"cpu": "2"}}
    refused = api("POST", path(namespace, "pods"), config("q", spec=pod))
    assert refused.json["message"] == 'pods "q" is forbidden: maximum cpu usage per Container is 1, but limit is 2'


def test_a_limit_range_is_named_if_nobody_does_and_made_by_a_put(api: Api, namespace: str) -> None:
    spec = {"limits": [{"type": "Pod", "max": {"cpu": "1"}}]}
    nameless = api("POST", path(namespace, "limitranges"), {"metadata": {}, "spec": spec})
    assert nameless.code == 201
    assert len(nameless.json["metadata"]["name"]) == 36
    assert api("PUT", path(namespace, "limitranges", "put"), config("put", spec=spec)).code == 201


def test_parallel_creations_never_exceed_a_quota(served: Served) -> None:
    """Through both workers, each with a cache of its own."""
    name = served("POST", "/api/v1/namespaces", {"metadata": {"generateName": "quota-"}}).json["metadata"]["name"]
    make_quota(served, name, configmaps="40", **{"count/configmaps": "100"})

    def create(number: int) -> int:
        code: int = served("POST", path(name, "configmaps"), config(f"c{number}")).code
        return code

    with ThreadPoolExecutor(25) as threads:
        codes = Counter(threads.map(create, range(100)))
    assert codes == {201: 40, 403: 60}
    assert used(served, name) == {"configmaps": "40", "count/configmaps": "40"}
    assert len(served("GET", path(name, "configmaps")).json["items"]) == 40
