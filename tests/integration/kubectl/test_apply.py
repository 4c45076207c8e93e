"""Both generations of kubectl: server-side apply, and the other ways of changing objects that meet it."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e.harness import Kubectl

from machinery.objects import Object

pytestmark = pytest.mark.client("kubectl")
verb = pytest.mark.verb

SERVER_SIDE = ("apply", "--server-side", "-f", "-")


def manifest(*objects: Object) -> str:
    return "\n---\n".join(yaml.safe_dump(obj) for obj in objects)


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def controller(name: str, image: str = "sise:1", **spec: Any) -> Object:
    container = {"name": "sise", "image": image, "ports": [{"containerPort": 9876}]}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"app": name}, "template": template, **spec}
    return {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": name}, "spec": spec}


def managers(kubectl: Kubectl, kind: str, name: str) -> dict[tuple[str, str, str], Any]:
    """(manager, operation, subresource) → the fields that it owns."""
    raw = kubectl("get", "--raw", f"/api/v1/namespaces/{kubectl.namespace}/{kind}/{name}")
    return {
        (entry["manager"], entry["operation"], entry.get("subresource", "")): entry["fieldsV1"]
        for entry in json.loads(raw)["metadata"]["managedFields"]
    }


@verb("apply --server-side")
def test_created_and_changed_on_the_server_side(kubectl: Kubectl) -> None:
    said = kubectl(*SERVER_SIDE, stdin=manifest(config_map("cm", a="1", b="2")))
    assert said == "configmap/cm serverside-applied\n"
    kubectl(*SERVER_SIDE, stdin=manifest(config_map("cm", a="1", c="3")))
    assert kubectl.json("get", "cm", "cm")["data"] == {"a": "1", "c": "3"}
    version = kubectl.json("get", "cm", "cm")["metadata"]["resourceVersion"]
    kubectl(*SERVER_SIDE, stdin=manifest(config_map("cm", a="1", c="3")))
    assert kubectl.json("get", "cm", "cm")["metadata"]["resourceVersion"] == version
    assert managers(kubectl, "configmaps", "cm") == {
        ("kubectl", "Apply", ""): {"f:data": {"f:a": {}, "f:c": {}}},
    }


@verb("apply --server-side")
def test_conflicts_are_told_and_forced(kubectl: Kubectl) -> None:
    kubectl(*SERVER_SIDE, "--field-manager=one", stdin=manifest(config_map("fought", k="1", l="1")))
    said = kubectl.fails(*SERVER_SIDE, "--field-manager=two", stdin=manifest(config_map("fought", k="2", l="2")))
    assert 'Apply failed with 2 conflicts: conflicts with "one":\n- .data.k\n- .data.l\n' in said
    assert "--force-conflicts" in said
    kubectl(*SERVER_SIDE, "--field-manager=two", "--force-conflicts", stdin=manifest(config_map("fought", k="2")))
    assert kubectl.json("get", "cm", "fought")["data"] == {"k": "2", "l": "1"}
    assert managers(kubectl, "configmaps", "fought") == {
        ("one", "Apply", ""): {"f:data": {"f:l": {}}},
        ("two", "Apply", ""): {"f:data": {"f:k": {}}},
    }


def test_an_unknown_field_is_refused(kubectl: Kubectl) -> None:
    wrong = config_map("wrong", a="1") | {"nonsense": 1}
    said = kubectl.fails(*SERVER_SIDE, "--validate=false", stdin=manifest(wrong))
    assert ".nonsense: field not declared in schema" in said


@verb("apply --server-side")
def test_from_client_side_to_server_side(kubectl: Kubectl, is_new: bool) -> None:
    """kubectl's own fields do not conflict, and go when they are no longer applied, where it migrates them."""
    kubectl("apply", "-f", "-", stdin=manifest(config_map("moved", a="1", b="2")))
    assert ("kubectl-client-side-apply", "Update", "") in managers(kubectl, "configmaps", "moved")
    kubectl(*SERVER_SIDE, stdin=manifest(config_map("moved", a="changed")))
    data = kubectl.json("get", "cm", "moved")["data"]
    assert data == ({"a": "changed"} if is_new else {"a": "changed", "b": "2"})
    if is_new:
        assert ("kubectl-client-side-apply", "Update", "") not in managers(kubectl, "configmaps", "moved")
    # And back: the annotation has been kept up.
    assert kubectl("apply", "-f", "-", stdin=manifest(config_map("moved", a="changed"))).startswith("configmap/moved")
    assert kubectl.json("get", "cm", "moved")["data"]["a"] == "changed"


@verb("diff")
def test_diff(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=manifest(config_map("compared", a="1")))
    same = kubectl.run("diff", "-f", "-", stdin=manifest(config_map("compared", a="1")))
    assert (same.returncode, same.stdout) == (0, "")
    changed = manifest(config_map("compared", a="2"))
    for mode in ([], ["--server-side", "--force-conflicts"]):
        found = kubectl.run("diff", *mode, "-f", "-", stdin=changed)
        assert found.returncode == 1, found.stderr
        assert '-  a: "1"' in found.stdout
        assert '+  a: "2"' in found.stdout
    conflicting = kubectl.run("diff", "--server-side", "--field-manager=other", "-f", "-", stdin=changed)
    assert conflicting.returncode > 1
    assert 'conflict with "kubectl-client-side-apply"' in conflicting.stderr
    new = kubectl.run("diff", "--server-side", "-f", "-", stdin=manifest(config_map("new", a="1")))
    assert new.returncode == 1
    assert "+kind: ConfigMap" in new.stdout
    assert kubectl.json("get", "cm", "compared")["data"] == {"a": "1"}


@verb("diff")
def test_what_was_only_created_does_not_differ(kubectl: Kubectl) -> None:
    """kubectl adds an empty map of annotations to what it compares."""
    kubectl("create", "-f", "-", stdin=manifest(config_map("only-created", a="1")))
    same = kubectl.run("diff", "-f", "-", stdin=manifest(config_map("only-created", a="1")))
    assert (same.returncode, same.stdout) == (0, "")


def test_managed_fields_are_shown_on_request(kubectl: Kubectl, is_new: bool) -> None:
    kubectl(*SERVER_SIDE, stdin=manifest(config_map("shown", a="1")))
    if is_new:
        assert "managedFields" not in kubectl("get", "cm", "shown", "-o", "yaml")
        assert "managedFields" in kubectl("get", "cm", "shown", "-o", "yaml", "--show-managed-fields")
    else:
        assert "managedFields" in kubectl("get", "cm", "shown", "-o", "yaml")


@verb("scale")
def test_scaling_takes_the_replicas(kubectl: Kubectl) -> None:
    kubectl(*SERVER_SIDE, stdin=manifest(controller("scaled")))
    kubectl("scale", "rc/scaled", "--replicas=0", "--current-replicas=0")
    assert ("kubectl", "Apply", "") in managers(kubectl, "replicationcontrollers", "scaled")
    kubectl("scale", "rc/scaled", "--replicas=1")
    owned = managers(kubectl, "replicationcontrollers", "scaled")
    assert owned["kubectl", "Update", "scale"] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in owned["kubectl", "Apply", ""]["f:spec"]
    said = kubectl.fails(*SERVER_SIDE, stdin=manifest(controller("scaled")))
    assert 'conflict with "kubectl" with subresource "scale" using v1: .spec.replicas' in said
    kubectl("delete", "rc", "scaled")


@verb("set", "label", "annotate")
def test_set_label_and_annotate_say_who_they_are(kubectl: Kubectl) -> None:
    kubectl(*SERVER_SIDE, stdin=manifest(controller("marked")))
    kubectl("set", "image", "rc/marked", "sise=sise:2")
    kubectl("set", "env", "rc/marked", "A=b")
    kubectl("label", "rc", "marked", "colour=red")
    kubectl("annotate", "rc", "marked", "note=kept")
    found = kubectl.json("get", "rc", "marked")
    container = found["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container["env"]) == ("sise:2", [{"name": "A", "value": "b"}])
    assert found["metadata"]["labels"]["colour"] == "red"
    assert found["metadata"]["annotations"]["note"] == "kept"
    owners = managers(kubectl, "replicationcontrollers", "marked")
    updaters = {name for name, operation, _ in owners if operation == "Update"}
    assert updaters == {"kubectl-set", "kubectl-label", "kubectl-annotate"}
    kubectl("label", "rc", "marked", "colour-")
    kubectl("annotate", "rc", "marked", "note-")
    kubectl("delete", "rc", "marked")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("strategic", {"spec": {"template": {"spec": {"containers": [{"name": "sise", "image": "sise:3"}]}}}}),
        ("merge", {"spec": {"replicas": 0}, "metadata": {"labels": {"m": "n"}}}),
        ("json", [{"op": "add", "path": "/metadata/labels/j", "value": "k"}]),
    ],
)
def test_patches(kubectl: Kubectl, kind: str, body: Any) -> None:
    kubectl(*SERVER_SIDE, stdin=manifest(controller("patched")))
    kubectl("patch", "rc", "patched", f"--type={kind}", "-p", json.dumps(body))
    assert ("kubectl-patch", "Update", "") in managers(kubectl, "replicationcontrollers", "patched")
    found = kubectl.json("get", "rc", "patched")
    expected = {
        "strategic": found["spec"]["template"]["spec"]["containers"][0]["image"] == "sise:3",
        "merge": found["metadata"]["labels"].get("m") == "n",
        "json": found["metadata"]["labels"].get("j") == "k",
    }
    assert expected[kind]
    kubectl("delete", "rc", "patched")


@verb("edit", "replace")
def test_edit_and_replace(kubectl: Kubectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl(*SERVER_SIDE, stdin=manifest(config_map("rewritten", a="before")))
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i s/before/after/ "$1"\n')
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("KUBE_EDITOR", str(editor))
    kubectl("edit", "configmap", "rewritten")
    assert kubectl.json("get", "cm", "rewritten")["data"] == {"a": "after"}
    assert ("kubectl-edit", "Update", "") in managers(kubectl, "configmaps", "rewritten")
    kubectl("replace", "-f", "-", stdin=manifest(config_map("rewritten", a="replaced")))
    assert ("kubectl-replace", "Update", "") in managers(kubectl, "configmaps", "rewritten")
    before = kubectl.json("get", "cm", "rewritten")["metadata"]["uid"]
    kubectl("replace", "--force", "-f", "-", stdin=manifest(config_map("rewritten", a="anew")))
    after = kubectl.json("get", "cm", "rewritten")
    assert after["data"] == {"a": "anew"}
    assert after["metadata"]["uid"] != before


@verb("autoscale refused")
def test_autoscale_is_refused(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=manifest(controller("busy")))
    said = kubectl.fails("autoscale", "rc/busy", "--min=1", "--max=2")
    assert "no matches for kind" in said or "could not find the requested resource" in said
    kubectl("delete", "rc", "busy")
