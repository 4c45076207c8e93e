"""PodSecurity as admission applies it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from unit.apiserver_kinds.test_admission import Objects

from apiserver.admission.podsecurity import PodSecurity
from apiserver.kinds.namespaces import NAMESPACES
from apiserver.kinds.pods.row import PODS
from apiserver.kinds.podtemplates import POD_TEMPLATES
from apiserver.kinds.replicationcontrollers import REPLICATION_CONTROLLERS
from apiserver.model.user import User
from apiserver.registry.admissionrequest import AdmissionRequest
from apiserver.registry.writerequest import WriteRequest
from machinery.errors import Forbidden, Invalid

Object = dict[str, Any]
PREFIX = "pod-security.kubernetes.io/"


def namespace(**modes: str) -> Object:
    labels = {PREFIX + mode.replace("_", "-"): value for mode, value in modes.items()}
    return {"kind": "Namespace", "metadata": {"name": "t", "labels": labels}}


def pod(name: str = "web", owner: str = "", **spec: Any) -> Object:
    metadata: Object = {"name": name, "namespace": "t"}
    if owner:
        metadata["ownerReferences"] = [{"uid": owner, "controller": True}]
    spec = {"containers": [{"name": "a", "image": "i"}], **spec}
    return {"kind": "Pod", "metadata": metadata, "spec": spec}


def ask(kind: Any, obj: Object, *there: Object, old: Object | None = None, subresource: str = "") -> list[str]:
    """The warnings."""
    operation, place = "UPDATE" if old else "CREATE", "" if kind is NAMESPACES else "t"
    write = WriteRequest(kind, place, obj["metadata"]["name"], User("u"), subresource)
    request = AdmissionRequest(operation, write, obj, old, Objects(*there))
    plugin = PodSecurity()
    if plugin.handles(request):
        plugin.validate(request)
    return request.warnings


def test_a_pod_that_violates_what_is_enforced_is_refused() -> None:
    with pytest.raises(Forbidden) as error:
        ask(PODS, pod(hostNetwork=True), namespace(enforce="baseline", warn="restricted"))
    assert error.value.message == (
        'pods "web" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
    )


def test_of_a_lesser_violation_people_are_warned() -> None:
    [warning] = ask(PODS, pod(), namespace(enforce="baseline", warn="restricted", warn_version="v1.22"))
    assert warning.startswith('would violate PodSecurity "restricted:v1.22": allowPrivilegeEscalation != false (')
    assert ask(PODS, pod(hostNetwork=True), namespace()) == []


@pytest.mark.parametrize("kind, field", [(POD_TEMPLATES, "template"), (REPLICATION_CONTROLLERS, "spec.template")])
def test_templates_are_warned_of_and_never_refused(kind: Any, field: str) -> None:
    obj: Object = {"spec": pod(hostNetwork=True)["spec"]}
    for name in reversed(field.split(".")):
        obj = {name: obj}
    obj["metadata"] = {"name": "web"}
    [warning] = ask(kind, obj, namespace(enforce="baseline", warn="baseline"))
    assert warning == 'would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
    assert ask(kind, obj, namespace(enforce="baseline")) == []


def test_a_controller_without_a_template_passes() -> None:
    assert ask(REPLICATION_CONTROLLERS, {"metadata": {"name": "x"}, "spec": {}}, namespace(warn="restricted")) == []


def test_an_update_counts_when_it_changes_what_checks_look_at() -> None:
    there, old = namespace(enforce="baseline"), pod(hostNetwork=True)
    labelled = copy.deepcopy(old)
    labelled["metadata"]["labels"] = {"a": "b"}
    assert ask(PODS, labelled, there, old=old) == []
    assert ask(PODS, labelled, there, old=old, subresource="status") == []
    labelled["spec"]["containers"][0]["image"] = "other"
    with pytest.raises(Forbidden):
        ask(PODS, labelled, there, old=old)


def test_labels_of_a_namespace_must_be_right_unless_they_were_wrong_before() -> None:
    with pytest.raises(Invalid) as error:
        ask(NAMESPACES, namespace(enforce="hard"))
    assert error.value.message == (
        f'Namespace "t" is invalid: metadata.labels[{PREFIX}enforce]: Invalid value: "hard": '
        "must be one of privileged, baseline, restricted"
    )
    assert ask(NAMESPACES, namespace(enforce="hard"), old=namespace(enforce="hard")) == []


def test_a_stricter_namespace_tells_of_pods_that_are_there() -> None:
    pods = [pod("b", hostNetwork=True), pod("a", hostNetwork=True), pod("c")]
    assert ask(NAMESPACES, namespace(enforce="baseline"), *pods, old=namespace()) == [
        'existing pods in namespace "t" violate the new PodSecurity enforce level "baseline:latest"',
        "a (and 1 other pod): host namespaces",
    ]


@pytest.mark.parametrize(
    "old, new",
    [
        ({"enforce": "baseline"}, {"enforce": "baseline", "warn": "restricted"}),
        ({"enforce": "restricted"}, {"enforce": "baseline"}),
        ({"enforce": "baseline"}, {"enforce": "privileged"}),
    ],
)
def test_a_namespace_that_gets_no_stricter_tells_nothing(old: dict[str, str], new: dict[str, str]) -> None:
    assert ask(NAMESPACES, namespace(**new), pod(hostNetwork=True), old=namespace(**old)) == []


def test_of_very_many_pods_each_controllers_first_is_looked_at() -> None:
    pods = [pod(f"a{number}", "rc") for number in range(3000)]
    assert ask(NAMESPACES, namespace(enforce="baseline"), *pods, pod("z", hostNetwork=True), old=namespace()) == [
        "new PodSecurity enforce level only checked against the first 3000 of 3001 existing pods",
        'existing pods in namespace "t" violate the new PodSecurity enforce level "baseline:latest"',
        "z: host namespaces",
    ]
