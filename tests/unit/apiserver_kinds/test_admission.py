"""Admission plugins, one request each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from everykind import plugins as every_plugin

from apiserver.admission import serviceaccount
from apiserver.admission.chain import chain
from apiserver.kinds.configmaps import CONFIG_MAPS
from apiserver.kinds.namespaces import NAMESPACES
from apiserver.kinds.pods.row import PODS
from apiserver.model.attributes import Attributes
from apiserver.model.kind import Kind
from apiserver.model.user import User
from apiserver.registry.admissionrequest import AdmissionRequest
from apiserver.registry.writerequest import WriteRequest
from machinery.errors import ApiError

Object = dict[str, Any]


class Nobody:
    """An authorizer that allows nothing."""

    def allows(self, asked: Attributes) -> bool:
        return False


PLUGINS = chain(every_plugin(Nobody()))


class Objects:
    """What is in the cluster, for a plugin to look up."""

    def __init__(self, *objects: Object) -> None:
        self.objects = {(o["kind"], o["metadata"].get("namespace", ""), o["metadata"]["name"]): o for o in objects}
        self.coming: Object | None = None

    def get(self, kind: Kind, namespace: str, name: str, *, consistent: bool = False) -> Object | None:
        return self.objects.get((kind.kind, namespace, name))

    def await_object(self, kind: Kind, namespace: str, name: str, seconds: float) -> Object | None:
        return self.coming

    def list(self, kind: Kind, namespace: str = "", *, consistent: bool = False) -> Sequence[Object]:
        return [obj for (known, _, _), obj in self.objects.items() if known == kind.kind]


def namespace(name: str, phase: str = "Active") -> Object:
    return {"kind": "Namespace", "metadata": {"name": name}, "status": {"phase": phase}}


def account(name: str = "default", **fields: Any) -> Object:
    return {"kind": "ServiceAccount", "metadata": {"namespace": "t", "name": name}, **fields}


def pod(**spec: Any) -> Object:
    return {"kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "a"}], **spec}}


def run(operation: str, kind: Kind, name: str, obj: Object | None, *there: Object, old: Object | None = None) -> None:
    write = WriteRequest(kind, "t" if kind.namespaced else name, name, User("u"))
    request = AdmissionRequest(operation, write, obj, old, Objects(*there))
    PLUGINS.admit(request)
    PLUGINS.validate(request)


def refused(*arguments: Any, **keywords: Any) -> ApiError:
    with pytest.raises(ApiError) as error:
        run(*arguments, **keywords)
    return error.value


def test_nothing_is_created_in_a_namespace_that_is_not_there() -> None:
    error = refused("CREATE", CONFIG_MAPS, "", {"metadata": {"name": "c"}})
    assert (error.code, error.message) == (404, 'namespaces "t" not found')


def test_nothing_is_created_in_a_namespace_that_is_going() -> None:
    error = refused("CREATE", CONFIG_MAPS, "", {"metadata": {"name": "c"}}, namespace("t", "Terminating"))
    assert error.message == (
        'configmaps "c" is forbidden: unable to create new content in namespace t because it is being terminated'
    )
    assert error.details is not None
    assert error.details["causes"][0]["reason"] == "NamespaceTerminating"
    run("UPDATE", CONFIG_MAPS, "c", {"metadata": {"name": "c"}}, namespace("t", "Terminating"))
    run("DELETE", CONFIG_MAPS, "c", None)


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
def test_some_namespaces_stay(name: str) -> None:
    error = refused("DELETE", NAMESPACES, name, None)
    assert error.message == f'namespaces "{name}" is forbidden: this namespace may not be deleted'


def test_a_pod_runs_as_the_default_account_with_its_token() -> None:
    obj = pod(initContainers=[{"name": "i", "volumeMounts": [{"name": "own", "mountPath": serviceaccount.MOUNT_PATH}]}])
    run("CREATE", PODS, "", obj, namespace("t"), account(imagePullSecrets=[{"name": "pull"}]))
    spec = obj["spec"]
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    [volume] = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    assert [next(iter(source)) for source in volume["projected"]["sources"]] == [
        "serviceAccountToken",
        "configMap",
        "downwardAPI",
    ]
    mount = {"name": volume["name"], "readOnly": True, "mountPath": serviceaccount.MOUNT_PATH}
    assert spec["containers"][0]["volumeMounts"] == [mount]
    assert spec["initContainers"][0]["volumeMounts"][0]["name"] == "own"


@pytest.mark.parametrize(
    "of_pod, of_account, mounts", [(None, False, False), (True, False, True), (False, None, False)]
)
def test_the_pod_says_whether_it_wants_a_token_and_else_the_account(
    of_pod: bool | None, of_account: bool | None, mounts: bool
) -> None:
    field = "automountServiceAccountToken"
    obj = pod(**({} if of_pod is None else {field: of_pod}))
    run("CREATE", PODS, "", obj, namespace("t"), account(**({} if of_account is None else {field: of_account})))  # type: ignore[arg-type]
    assert ("volumes" in obj["spec"]) is mounts


def test_a_pod_waits_for_the_default_account_of_a_namespace_that_has_just_been_made() -> None:
    there = Objects(namespace("t"))
    there.coming = account()
    request = AdmissionRequest("CREATE", WriteRequest(PODS, "t", "web", User("u")), pod(), None, there)
    serviceaccount.ServiceAccount().admit(request)
    assert request.object is not None and request.object["spec"]["serviceAccountName"] == "default"
    there.coming = None
    request = replace(request, object=pod())
    with pytest.raises(ApiError, match='serviceaccount "default" not found'):
        serviceaccount.ServiceAccount().admit(request)


def test_a_pod_of_an_unknown_account_is_refused() -> None:
    error = refused("CREATE", PODS, "", pod(serviceAccountName="robot"), namespace("t"))
    assert error.message == (
        'pods "web" is forbidden: error looking up service account t/robot: serviceaccount "robot" not found'
    )


def test_tolerations_are_added_unless_their_owner_has_said_something() -> None:
    own = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 5, "effect": "NoExecute"}
    obj = pod(tolerations=[own])
    run("CREATE", PODS, "", obj, namespace("t"), account())
    assert [(t["key"], t["tolerationSeconds"]) for t in obj["spec"]["tolerations"]] == [
        ("node.kubernetes.io/not-ready", 5),
        ("node.kubernetes.io/unreachable", 300),
    ]
    run("UPDATE", PODS, "web", obj, namespace("t"), old=obj)
    assert len(obj["spec"]["tolerations"]) == 2
    tolerant = pod(tolerations=[{"operator": "Exists"}])
    run("CREATE", PODS, "", tolerant, namespace("t"), account())
    assert tolerant["spec"]["tolerations"] == [{"operator": "Exists"}]


def test_priorities() -> None:
    obj = pod(priorityClassName="system-node-critical")
    critical = {"kind": "PriorityClass", "metadata": {"name": "system-node-critical"}, "value": 2_000_001_000}
    run("CREATE", PODS, "", obj, namespace("t"), account(), critical | {"preemptionPolicy": "PreemptLowerPriority"})
    assert (obj["spec"]["priority"], obj["spec"]["preemptionPolicy"]) == (2_000_001_000, "PreemptLowerPriority")
    changed = pod()
    run("UPDATE", PODS, "web", changed, namespace("t"), old=obj)
    assert changed["spec"]["priority"] == 2_000_001_000
    error = refused("CREATE", PODS, "", pod(priorityClassName="high"), namespace("t"), account())
    assert error.message == 'pods "web" is forbidden: no PriorityClass with name high was found'
    error = refused("CREATE", PODS, "", pod(priority=7), namespace("t"), account())
    assert "the integer value of priority (7) must not be provided in pod spec" in error.message
