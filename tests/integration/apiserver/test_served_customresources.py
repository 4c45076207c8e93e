"""Custom resources with two worker processes: what one has shown, the other serves."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from integration.served import Etcd, Served

pytestmark = pytest.mark.etcd

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = {"Content-Type": "application/merge-patch+json"}
# So many connections that each worker has some of them.
CONNECTIONS = 8


def definition(number: int, **spec: Any) -> Any:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.group{number}.example.com"},
        "spec": {
            "group": f"group{number}.example.com",
            "scope": "Cluster",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


def thing(number: int, name: str, **spec: Any) -> Any:
    return {
        "apiVersion": f"group{number}.example.com/v1",
        "kind": "Thing",
        "metadata": {"name": name},
        "spec": spec,
    }


def collection(number: int) -> str:
    return f"/apis/group{number}.example.com/v1/things"


def is_established(crd: Any) -> bool:
    return any(each["type"] == "Established" and each["status"] == "True" for each in crd["status"]["conditions"])


def establish(served: Served, connection: Any, crd: Any) -> None:
    """Returns as soon as this connection's worker says that the definition is served."""
    assert served("POST", DEFINITIONS, crd, connection=connection).code == 201
    path = f"{DEFINITIONS}?watch=1&fieldSelector=metadata.name={crd['metadata']['name']}&timeoutSeconds=20"
    watch = served.connect()
    watch.request("GET", path, headers={"Authorization": "Bearer admin-token"})
    for line in watch.getresponse():
        if is_established(json.loads(line)["object"]):
            break
    watch.close()


def test_the_other_worker_serves_what_one_has_established(served: Served) -> None:
    connections = [served.connect() for _ in range(CONNECTIONS)]
    for number, first in enumerate(connections):
        establish(served, first, definition(number, size={"type": "integer"}))
        for index, other in enumerate(connections):
            answer = served("POST", collection(number), thing(number, f"t{index}", size=index), connection=other)
            assert answer.code == 201, answer
        changed = definition(number, size={"type": "integer"}, color={"type": "string", "default": "red"})
        name = changed["metadata"]["name"]
        patch = {"spec": {"versions": changed["spec"]["versions"]}}
        assert served("PATCH", f"{DEFINITIONS}/{name}", patch, MERGE, connection=first).code == 200
        for other in connections:
            found = served("GET", f"{collection(number)}/t0", connection=other).json
            assert found["spec"] == {"size": 0, "color": "red"}
            paths = served("GET", f"/apis/group{number}.example.com/v1", connection=other).json["resources"]
            assert [each["name"] for each in paths] == ["things"]
        assert served("DELETE", f"{DEFINITIONS}/{name}", connection=first).code == 200
    for number in range(CONNECTIONS):
        name = f"things.group{number}.example.com"
        eventually_gone(served, name)
        for other in connections:
            assert served("GET", collection(number), connection=other).code == 404


def eventually_gone(served: Served, name: str) -> None:
    path = f"{DEFINITIONS}?watch=1&fieldSelector=metadata.name={name}&timeoutSeconds=20"
    watch = served.connect()
    watch.request("GET", path, headers={"Authorization": "Bearer admin-token"})
    response = watch.getresponse()
    if served("GET", f"{DEFINITIONS}/{name}").code == 200:
        assert any(json.loads(line)["type"] == "DELETED" for line in response)
    watch.close()


def test_two_that_want_the_same_names_at_once(served: Served) -> None:
    """Each worker may look at another definition first: only one of them can be served."""
    for number in range(100, 105):
        rivals = []
        for plural in ("things", "others"):
            crd = definition(number)
            crd["metadata"]["name"] = f"{plural}.group{number}.example.com"
            crd["spec"]["names"]["plural"] = plural
            rivals.append(crd)
        for crd in rivals:
            assert served("POST", DEFINITIONS, crd).code == 201
        found = [wait_for_conditions(served, crd["metadata"]["name"]) for crd in rivals]
        assert sorted(is_established(crd) for crd in found) == [False, True]
        for crd in rivals:
            served("DELETE", f"{DEFINITIONS}/{crd['metadata']['name']}")


def wait_for_conditions(served: Served, name: str) -> Any:
    path = f"{DEFINITIONS}?watch=1&fieldSelector=metadata.name={name}&timeoutSeconds=20"
    watch = served.connect()
    watch.request("GET", path, headers={"Authorization": "Bearer admin-token"})
    try:
        for line in watch.getresponse():
            crd = json.loads(line)["object"]
            if crd["status"]["conditions"]:
                return crd
    finally:
        watch.close()
    return pytest.fail(f"{name} never got conditions")


def test_objects_are_there_after_a_worker_and_the_whole_server_start_again(
    etcd: Etcd, start_served: Callable[..., Any]
) -> None:
    server = start_served(etcd)
    establish(server, server.connect(), definition(200, size={"type": "integer"}))
    revision = server("POST", collection(200), thing(200, "kept", size=1)).json["metadata"]["resourceVersion"]
    for worker in server.workers():
        os.kill(worker, signal.SIGKILL)
    server.hang_up()
    server.wait_ready()
    assert server("GET", f"{collection(200)}/kept").json["spec"] == {"size": 1}
    server.stop()
    again = start_served(etcd)
    assert again("GET", f"{collection(200)}/kept").json["metadata"]["resourceVersion"] == revision
    assert again("GET", f"{collection(200)}?watch=1&resourceVersion={revision}&timeoutSeconds=1").code == 200
    again("DELETE", f"{DEFINITIONS}/things.group200.example.com")
    eventually_gone(again, "things.group200.example.com")
