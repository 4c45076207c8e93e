"""What both generations of kubectl need of discovery, OpenAPI, patches, tables and field validation."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from typing import IO, Any

import pytest
import yaml
from e2e.harness import Kubectl
from everykind import REGISTRY

from machinery.objects import Object

# Not those of metrics.k8s.io, pods and nodes by name too: kubectl 1.20 looks for a Pod and a Node in that group.
KINDS = [
    (kind.plural, f"{kind.group}/{kind.version}".lstrip("/"))
    for kind in REGISTRY.kinds()
    if (first := REGISTRY.by_name(kind.plural)) and first.kind == kind.kind
]

pytestmark = pytest.mark.client("kubectl")
verb = pytest.mark.verb


def service(name: str, **spec: Any) -> Object:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def text(*objects: Object) -> str:
    return "\n---\n".join(yaml.safe_dump(obj) for obj in objects)


@verb("api-resources")
def test_api_resources(kubectl: Kubectl) -> None:
    shown = kubectl("api-resources", "--no-headers", "--output=name").split()
    assert sorted(shown) == sorted(f"{kind.plural}.{kind.group}".rstrip(".") for kind in REGISTRY.kinds())
    assert "po" in kubectl("api-resources").split()


@verb("explain --recursive")
@pytest.mark.parametrize(("plural", "version"), KINDS)
def test_explain(kubectl: Kubectl, plural: str, version: str) -> None:
    shown = kubectl("explain", plural, f"--api-version={version}", "--recursive")
    assert "FIELDS:" in shown
    assert "metadata" in shown


@verb("explain")
def test_explain_a_field(kubectl: Kubectl) -> None:
    shown = kubectl("explain", "pod.spec.containers.ports.containerPort")
    assert "<integer>" in shown
    assert "Number of port to expose" in shown


@verb("apply")
def test_apply_merges_three_ways(kubectl: Kubectl) -> None:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "x", "port": 81}]
    kubectl("apply", "-f", "-", stdin=text(service("merged", ports=ports, selector={"a": "b", "c": "d"})))
    # What others have set in the meantime stays; what the manifest no longer has goes.
    kubectl("patch", "service", "merged", "-p", '{"spec":{"selector":{"other":"e"},"sessionAffinity":"ClientIP"}}')
    again = text(service("merged", ports=[{"name": "http", "port": 80, "targetPort": 8081}], selector={"a": "z"}))
    assert kubectl("apply", "-f", "-", stdin=again) == "service/merged configured\n"
    assert kubectl("apply", "-f", "-", stdin=again) == "service/merged unchanged\n"
    spec = kubectl.json("get", "service", "merged")["spec"]
    assert spec["ports"] == [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8081}]
    assert spec["selector"] == {"a": "z", "other": "e"}
    assert spec["sessionAffinity"] == "ClientIP"


def controller(image: str, *names: str) -> Object:
    containers = [{"name": name, "image": image, "env": [{"name": "A", "value": image}]} for name in names]
    template = {"metadata": {"labels": {"app": "rc"}}, "spec": {"containers": containers}}
    spec = {"replicas": 0, "selector": {"app": "rc"}, "template": template}
    return {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "rc"}, "spec": spec}


@verb("apply")
def test_apply_keeps_the_order_of_the_manifest(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=text(controller("one", "a", "b")))
    kubectl("apply", "-f", "-", stdin=text(controller("two", "c", "b", "a")))
    containers = kubectl.json("get", "rc", "rc")["spec"]["template"]["spec"]["containers"]
    assert [(container["name"], container["image"]) for container in containers] == [
        ("c", "two"),
        ("b", "two"),
        ("a", "two"),
    ]
    kubectl("apply", "-f", "-", stdin=text(controller("two", "b")))
    containers = kubectl.json("get", "rc", "rc")["spec"]["template"]["spec"]["containers"]
    assert [container["name"] for container in containers] == ["b"]


@verb("diff")
def test_diff(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=text(controller("one", "a")))
    assert kubectl.run("diff", "-f", "-", stdin=text(controller("one", "a"))).returncode == 0
    changed = kubectl.run("diff", "-f", "-", stdin=text(controller("two", "a")))
    assert changed.returncode == 1
    assert "+      - image: two" in changed.stdout or "+        image: two" in changed.stdout


def test_an_unknown_field_is_refused(kubectl: Kubectl, is_new: bool) -> None:
    said = kubectl.fails("create", "-f", "-", stdin=text(service("unknown", selektor={"a": "b"})))
    if is_new:
        assert 'strict decoding error: unknown field "spec.selektor"' in said
    else:
        assert 'ValidationError(Service.spec): unknown field "selektor" in io.k8s.api.core.v1.ServiceSpec' in said


def test_a_value_of_the_wrong_type_is_refused_by_the_server(kubectl: Kubectl) -> None:
    wrong = text(service("wrong", ports=[{"port": "http"}]))
    said = kubectl.fails("create", "--validate=false", "-f", "-", stdin=wrong)
    assert (
        'Service in version "v1" cannot be handled as a Service: '
        "json: cannot unmarshal string into Go struct field ServicePort.spec.ports.port of type int32"
    ) in said


@verb("patch")
def test_patches(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=text(service("patched", ports=[{"port": 80}], selector={"a": "b"})))
    kubectl("patch", "service", "patched", "-p", '{"spec":{"ports":[{"port":80,"targetPort":99}]}}')
    kubectl(
        "patch", "service", "patched", "--type=json", "-p", '[{"op":"add","path":"/metadata/labels","value":{"x":"y"}}]'
    )
    kubectl("patch", "service", "patched", "--type=merge", "-p", '{"spec":{"selector":{"a":null,"q":"r"}}}')
    found = kubectl.json("get", "service", "patched")
    assert found["spec"]["ports"][0]["targetPort"] == 99
    assert found["metadata"]["labels"] == {"x": "y"}
    assert found["spec"]["selector"] == {"q": "r"}
    test = '[{"op":"test","path":"/spec/ports/0/port","value":1}]'
    said = kubectl.fails("patch", "service", "patched", "--type=json", "-p", test)
    assert "testing value /spec/ports/0/port failed: test failed" in said
    said = kubectl.fails("patch", "service", "patched", "--type=merge", "-p", '{"spec":{"selector":{"q":1}}}')
    assert "cannot unmarshal number into Go struct field ServiceSpec.spec.selector of type string" in said


@verb("create")
def test_create_commands(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "made", "--from-literal=a=b")
    kubectl("create", "secret", "generic", "made", "--from-literal=a=b")
    kubectl("create", "serviceaccount", "made")
    kubectl("create", "quota", "made", "--hard=pods=1", "--scopes=BestEffort")
    kubectl("create", "service", "clusterip", "made", "--tcp=80:http", "--tcp=81:8081")
    assert kubectl.json("get", "configmap", "made")["data"] == {"a": "b"}
    assert kubectl.json("get", "secret", "made")["data"] == {"a": "Yg=="}
    ports = kubectl.json("get", "service", "made")["spec"]["ports"]
    assert [(port["port"], port["targetPort"]) for port in ports] == [(80, "http"), (81, 8081)]
    said = kubectl.fails("create", "configmap", "made")
    assert 'configmaps "made" already exists' in said


@verb("edit")
def test_edit(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "edited", "--from-literal=a=b")
    environment = {**os.environ, "KUBECONFIG": str(kubectl.kubeconfig), "EDITOR": "sed -i s/a:.b/a:\\ c/"}
    command: list[str | Path] = [kubectl.path, f"--namespace={kubectl.namespace}", "edit", "configmap", "edited"]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    assert kubectl.json("get", "configmap", "edited")["data"] == {"a": "c"}


@verb("label", "annotate")
def test_label_and_annotate(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "labelled")
    kubectl("label", "configmap", "labelled", "a=b", "c=d")
    kubectl("label", "configmap", "labelled", "a-")
    kubectl("annotate", "configmap", "labelled", "e=f")
    meta = kubectl.json("get", "configmap", "labelled")["metadata"]
    assert (meta["labels"], meta["annotations"]) == ({"c": "d"}, {"e": "f"})
    assert "already has a value" in kubectl.fails("label", "configmap", "labelled", "c=x")


@verb("get")
def test_get_in_columns(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=text(service("shown", ports=[{"port": 80}], selector={"a": "b"})))
    header, row = kubectl("get", "service", "shown").splitlines()
    assert header.split() == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]
    assert row.split()[0] == "shown"
    header, row = kubectl("get", "service", "shown", "--output=wide").splitlines()
    assert header.split()[-1] == "SELECTOR"
    assert row.split()[-1] == "a=b"
    assert kubectl("get", "service,configmap", "--all-namespaces", "--no-headers")


@verb("get --watch")
def test_watch_in_columns(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "watched")
    command: list[str | Path] = [kubectl.path, f"--namespace={kubectl.namespace}", "get", "configmap", "--watch"]
    command += ["--field-selector=metadata.name=watched", "--output-watch-events"]
    environment = {**os.environ, "KUBECONFIG": str(kubectl.kubeconfig)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        guard = threading.Timer(60, watch.kill)
        guard.start()
        lines = line_reader(watch.stdout)
        assert next(lines) == ["EVENT", "NAME", "DATA", "AGE"]
        assert next(lines)[:3] == ["ADDED", "watched", "0"]
        kubectl("patch", "configmap", "watched", "-p", '{"data":{"a":"b"}}')
        assert next(lines)[:3] == ["MODIFIED", "watched", "1"]
        kubectl("delete", "configmap", "watched")
        assert next(lines)[:3] == ["DELETED", "watched", "1"]
        guard.cancel()
        watch.kill()


def line_reader(stream: IO[str]) -> Any:
    return (line.split() for line in stream)
