"""kubectl of both generations and a kind that it has never heard of (upstream: crd_publish_openapi.go)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from e2e.harness import Kubectl

from machinery.objects import Object

pytestmark = pytest.mark.client("kubectl")
verb = pytest.mark.verb

BARS = yaml.safe_load("""
description: List of Bars and their specs.
type: array
items:
  type: object
  required: [name]
  properties:
    name: {description: Name of Bar., type: string}
    age: {description: Age of Bar., type: string}
    bazs: {description: List of Bazs., type: array, items: {type: string}}
""")
FOO: Object = {
    "description": "Foo CRD for Testing",
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "description": "Specification of Foo",
            "properties": {"bars": BARS, "replicas": {"type": "integer"}},
        },
        "status": {"type": "object", "description": "Status of Foo", "properties": {"replicas": {"type": "integer"}}},
    },
}
COLUMNS = [
    {"name": "First", "type": "string", "jsonPath": ".spec.bars[0].name"},
    {"name": "Bars", "type": "string", "jsonPath": ".spec.bars[*].name", "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]


def plural(group: str) -> str:
    """A name that no other test uses: it is all that explain takes."""
    return f"foos{zlib.crc32(group.encode())}"


def definition(group: str, schema: Object, **version: Any) -> Object:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural(group)}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural(group), "kind": "Foo", "categories": ["testing"]},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **version}
            ],
        },
    }


@pytest.fixture
def group(request: pytest.FixtureRequest, kubectl: Kubectl) -> str:
    """One for each test and generation: kubectl keeps what it has discovered."""
    words = re.sub(r"[^a-z0-9]+", "-", f"{request.node.name}".lower()).strip("-")
    return f"{words}.example.com"


@pytest.fixture
def foos(kubectl: Kubectl, group: str) -> Iterator[str]:
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    subresources = {"status": {}, "scale": scale}
    crd = definition(group, FOO, additionalPrinterColumns=COLUMNS, subresources=subresources)
    yield from served(kubectl, crd)


def served(kubectl: Kubectl, crd: Object) -> Iterator[str]:
    """Creates a definition, and says the name by which kubectl finds the kind."""
    name = crd["metadata"]["name"]
    kubectl("create", "-f", "-", stdin=yaml.safe_dump(crd))
    kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=20s")
    yield name
    kubectl("delete", "crd", name)


def foo(group: str, name: str = "test-foo", **spec: Any) -> str:
    meta = {"name": name}
    return yaml.safe_dump({"apiVersion": f"{group}/v1", "kind": "Foo", "metadata": meta, "spec": spec})


def refused(kubectl: Kubectl, *arguments: str, stdin: str) -> str:
    answer = kubectl.run(*arguments, stdin=stdin)
    assert answer.returncode != 0, answer
    return str(answer.stderr)


@verb("custom resources")
def test_create_apply_and_what_is_refused(kubectl: Kubectl, foos: str, group: str, is_new: bool) -> None:
    valid = foo(group, bars=[{"name": "test-bar"}])
    kubectl("create", "-f", "-", stdin=valid)
    kubectl("delete", foos, "test-foo")
    assert kubectl("apply", "-f", "-", stdin=valid) == f"foo.{group}/test-foo created\n"
    assert kubectl("apply", "-f", "-", stdin=valid) == f"foo.{group}/test-foo unchanged\n"
    more = foo(group, bars=[{"name": "test-bar", "age": "10"}])
    assert kubectl("apply", "-f", "-", stdin=more) == f"foo.{group}/test-foo configured\n"
    unknown, incomplete = foo(group, "x", foo=True), foo(group, "x", bars=[{"age": "10"}])
    missing = "spec.bars[0].name: Required value" if is_new else 'missing required field "name"'
    for verb in ("create", "apply"):
        assert 'unknown field "' in refused(kubectl, verb, "-f", "-", stdin=unknown)
        assert missing in refused(kubectl, verb, "-f", "-", stdin=incomplete)


@verb("custom resources")
def test_get_shows_the_columns(kubectl: Kubectl, foos: str, group: str) -> None:
    kubectl("create", "-f", "-", stdin=foo(group, bars=[{"name": "a"}, {"name": "b"}]))
    lines = [line.split() for line in kubectl("get", foos).splitlines()]
    assert lines[0] == ["NAME", "FIRST", "AGE"]
    assert lines[1][:2] == ["test-foo", "a"]
    assert kubectl("get", foos, "-o", "wide").splitlines()[0].split() == ["NAME", "FIRST", "BARS", "AGE"]
    assert kubectl("get", foos, "test-foo", "-o", "name") == f"foo.{group}/test-foo\n"
    assert "Name of Bar" not in kubectl("describe", foos, "test-foo")
    assert "test-foo" in kubectl("describe", foos, "test-foo")


@verb("custom resources")
def test_explain(kubectl: Kubectl, foos: str, group: str) -> None:
    name = plural(group)
    assert re.search(
        r"(?s)DESCRIPTION:.*Foo CRD for Testing.*FIELDS:.*apiVersion.*<string>.*APIVersion defines.*spec.*<Object>.*"
        r"Specification of Foo",
        kubectl("explain", name),
    )
    assert re.search(r"(?s)FIELDS:.*creationTimestamp.*<string>", kubectl("explain", f"{name}.metadata"))
    assert re.search(r"(?s)List of Bars and their specs.*bazs.*<\[\]string>", kubectl("explain", f"{name}.spec.bars"))
    assert 'field "bars2" does not exist' in kubectl.run("explain", f"{name}.spec.bars2").stderr
    assert "bazs" in kubectl("explain", name, "--recursive")


@verb("custom resources")
def test_change(kubectl: Kubectl, foos: str, group: str) -> None:
    kubectl("create", "-f", "-", stdin=foo(group, bars=[{"name": "a"}], replicas=1))
    kubectl("patch", foos, "test-foo", "--type=merge", "-p", '{"spec":{"bars":[{"name":"b"}]}}')
    kubectl("patch", foos, "test-foo", "--type=json", "-p", '[{"op":"add","path":"/spec/bars/-","value":{"name":"c"}}]')
    kubectl("label", foos, "test-foo", "a=b")
    kubectl("annotate", foos, "test-foo", "c=d")
    kubectl("scale", "--replicas=3", f"{foos}/test-foo")
    found = kubectl.json("get", foos, "test-foo")
    assert found["spec"] == {"bars": [{"name": "b"}, {"name": "c"}], "replicas": 3}
    assert found["metadata"]["labels"] == {"a": "b"}
    strategic = kubectl.run("patch", foos, "test-foo", "-p", '{"spec":{}}')
    assert strategic.returncode != 0 and "application/merge-patch+json" in strategic.stderr


@verb("custom resources")
def test_wait_for_a_condition(kubectl: Kubectl, group: str) -> None:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    for name in served(kubectl, definition(group, schema)):
        obj = yaml.safe_load(foo(group))
        obj["status"] = {"conditions": [{"type": "Ready", "status": "True"}]}
        kubectl("create", "-f", "-", stdin=yaml.safe_dump(obj))
        kubectl("wait", "--for=condition=Ready", f"{name}/test-foo", "--timeout=10s")
        kubectl("delete", name, "test-foo", "--timeout=10s")


def test_unknown_fields_where_they_are_kept(kubectl: Kubectl, group: str) -> None:
    nested = {
        "description": "unknown fields in a nested field",
        "type": "object",
        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    for name in served(kubectl, definition(group, nested)):
        kubectl("apply", "-f", "-", stdin=foo(group, a=1, b=[{"c": "d"}]))
        assert kubectl.json("get", name, "test-foo")["spec"] == {"a": 1, "b": [{"c": "d"}]}
        assert "unknown fields in a nested field" in kubectl("explain", plural(group))
