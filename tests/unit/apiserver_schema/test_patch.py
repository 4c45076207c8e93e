"""The three kinds of patches: golden cases, laws, upstream's errors."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from apiserver import patch
from apiserver.model import patchtypes
from apiserver.model.kind import Kind
from apiserver.patch.json import apply_json_patch, merge
from apiserver.patch.strategic import strategic_merge
from apiserver.schema.codec import UpstreamCodec
from apiserver.schema.compiled import node_of
from machinery.errors import BadRequest, Invalid, RequestEntityTooLarge, UnsupportedMediaType
from machinery.objects import Object

CASES = yaml.safe_load(Path(__file__).parents[2].joinpath("golden/strategic_merge/cases.yaml").read_text())
POD = "io.k8s.api.core.v1.Pod"


def row(kind: str) -> Kind:
    return Kind("", "v1", kind, kind.lower() + "s", UpstreamCodec(f"io.k8s.api.core.v1.{kind}"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_strategic_merge(case: dict[str, Any]) -> None:
    body = orjson.dumps(case["patch"])
    before = copy.deepcopy(case["before"])
    if "error" in case:
        with pytest.raises((BadRequest, Invalid)) as caught:
            patch.apply(row(case["kind"]), before, body, patchtypes.STRATEGIC_MERGE_PATCH)
        assert case["error"] in caught.value.message
    else:
        assert patch.apply(row(case["kind"]), before, body, patchtypes.STRATEGIC_MERGE_PATCH) == case["after"]
    assert before == case["before"], "the object given must stay as it is: it is the watch cache's own"


NAMES = st.sampled_from("abcde")
CONTAINERS = st.lists(
    st.fixed_dictionaries({"name": NAMES}, optional={"image": NAMES, "args": st.lists(NAMES, max_size=2)}),
    unique_by=lambda container: container["name"],
    max_size=4,
)
PODS = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.fixed_dictionaries(
            {},
            optional={
                "labels": st.dictionaries(NAMES, NAMES),
                "finalizers": st.lists(NAMES, unique=True, max_size=4),
            },
        ),
        "spec": st.fixed_dictionaries({}, optional={"nodeName": NAMES, "containers": CONTAINERS}),
    },
)


@given(PODS, PODS)
def test_a_strategic_merge_patch_is_idempotent(before: Object, change: Object) -> None:
    once = strategic_merge(copy.deepcopy(before), copy.deepcopy(change), node_of(POD))
    assert strategic_merge(copy.deepcopy(once), copy.deepcopy(change), node_of(POD)) == once


@given(PODS)
def test_an_object_as_its_own_patch_changes_nothing(pod: Object) -> None:
    assert strategic_merge(copy.deepcopy(pod), copy.deepcopy(pod), node_of(POD)) == pod


@given(PODS, PODS)
def test_merging_keeps_every_element_once(before: Object, change: Object) -> None:
    def names(pod: Object) -> list[str]:
        return [container["name"] for container in pod.get("spec", {}).get("containers", [])]

    after = strategic_merge(copy.deepcopy(before), copy.deepcopy(change), node_of(POD))
    assert sorted(names(after)) == sorted({*names(before), *names(change)})
    assert [name for name in names(after) if name in names(change)] == names(change)


JSON = st.recursive(
    st.booleans() | st.integers(-5, 5) | st.text("abc", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.text("abc", max_size=2), JSON, max_size=4)


def same(left: Any, right: Any) -> bool:
    """Equal as JSON: Python holds true and 1 for the same."""
    return orjson.dumps(left, option=orjson.OPT_SORT_KEYS) == orjson.dumps(right, option=orjson.OPT_SORT_KEYS)


def diff(original: Object, wanted: Object) -> Object:
    """The merge patch that turns ``original`` into ``wanted`` (which must not hold nulls: they cannot be said)."""
    patch: Object = {key: None for key in original if key not in wanted}
    for key, value in wanted.items():
        old = original.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            if changed := diff(old, value):
                patch[key] = changed
        elif key not in original or not same(old, value):
            patch[key] = value
    return patch


@given(OBJECTS, OBJECTS)
def test_a_diff_turns_one_object_into_the_other(before: Object, after: Object) -> None:
    assert same(merge(copy.deepcopy(before), diff(before, after)), after)


@given(OBJECTS)
def test_nothing_differs_from_itself(obj: Object) -> None:
    assert diff(obj, copy.deepcopy(obj)) == {}


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_is_idempotent(before: Object, change: Object) -> None:
    once = merge(copy.deepcopy(before), change)
    assert same(merge(copy.deepcopy(once), change), once)


@given(st.binary(max_size=40) | JSON.map(orjson.dumps), st.sampled_from(patchtypes.ALL_PATCHES))
def test_any_body_is_applied_or_refused(body: bytes, content_type: str) -> None:
    before = {"metadata": {"name": "a", "labels": {"a": "b"}}, "spec": {"containers": [{"name": "a"}]}}
    try:
        assert isinstance(patch.apply(row("Pod"), before, body, content_type), dict)
    except (BadRequest, Invalid) as error:
        assert error.message


OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"])},
    optional={
        "path": st.sampled_from(
            ["", "/", "/metadata", "/metadata/labels/a", "/l/0", "/l/-", "/l/9", "/l/x", "no", "/~2"]
        ),
        "from": st.sampled_from(["", "/l", "/metadata", "/no/where", "/l/7", "x"]) | st.none(),
        "value": JSON,
    },
)


@given(st.lists(OPERATIONS | JSON, max_size=4))
def test_any_json_patch_is_applied_or_refused(operations: list[Any]) -> None:
    before = {"metadata": {"name": "a", "labels": {"a": "b"}}, "l": [1, {"x": 2}]}
    try:
        assert isinstance(patch.apply(row("Pod"), before, orjson.dumps(operations), patchtypes.JSON_PATCH), dict)
    except (BadRequest, Invalid) as error:
        assert error.message


JSON_PATCHES = yaml.safe_load(Path(__file__).with_name("jsonpatches.yaml").read_text())


@pytest.mark.parametrize("case", JSON_PATCHES, ids=lambda case: json.dumps(case["patch"]))
def test_json_patch_as_upstreams_library(case: dict[str, Any]) -> None:
    document = {"o": {"a": 1, "n": None}, "l": [1, 2, 3]}
    if "error" in case:
        with pytest.raises(Invalid) as caught:
            apply_json_patch(document, case["patch"])
        assert (
            caught.value.message == f"the server rejected our request due to an error in our request: {case['error']}"
        )
        return
    expected = copy.deepcopy(document) | case["after"]
    patched = apply_json_patch(document, case["patch"])
    assert patched == {key: value for key, value in expected.items() if value is not None or key in patched}


@pytest.mark.parametrize(
    ("operation", "where", "found"),
    [
        (1, "value of type handlers.jsonPatchOp", "number"),
        ({"op": 1}, "struct field jsonPatchOp.op of type string", "number"),
        ({"op": "add", "path": []}, "struct field jsonPatchOp.path of type string", "array"),
        ({"op": "copy", "from": {}}, "struct field jsonPatchOp.from of type string", "object"),
    ],
)
def test_json_patches_of_a_wrong_form(operation: Any, where: str, found: str) -> None:
    with pytest.raises(BadRequest) as caught:
        apply_json_patch({}, [operation])
    assert caught.value.message == f"error decoding patch: json: cannot unmarshal {found} into Go {where}"


MERGE, STRATEGIC, JSON_PATCH = patchtypes.MERGE_PATCH, patchtypes.STRATEGIC_MERGE_PATCH, patchtypes.JSON_PATCH
# A patch, with the texts about what occurs in it twice, or (in a JSON patch) has no meaning.
DUPLICATES = [
    (MERGE, b'{"data":{"a":"1","a":"2"}}', ['duplicate field "data.a"']),
    (
        MERGE,
        b'{"data":{"a":"1"},"x":[{"b":1,"b":1}],"data":{}}',
        ['duplicate field "x[0].b"', 'duplicate field "data"'],
    ),
    (MERGE, b'{"data":{"a":"\\""}}', []),
    (STRATEGIC, b'{"data":{"a":"1","a":"2"}}', ['duplicate field "data.a"']),
    (
        JSON_PATCH,
        b'[{"op":"add","path":"/data","value":{"a":"1","a":"2"}}]',
        ['json patch duplicate field "[0].value.a"'],
    ),
    (JSON_PATCH, b'[{"op":"add","op":"add","path":"/data/a","value":"1"}]', ['json patch duplicate field "[0].op"']),
    (JSON_PATCH, b'[{"op":"add","path":"/data","value":{},"x":1}]', ['json patch unknown field "[0].x"']),
    (JSON_PATCH, b'[{"op":"test","path":"/data","value":{"x":1}}]', []),
]


@pytest.mark.parametrize(("content_type", "body", "texts"), DUPLICATES)
def test_what_occurs_twice_in_a_patch(content_type: str, body: bytes, texts: list[str]) -> None:
    kind = row("ConfigMap")
    changed = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    assert patch.checked(kind, dict(changed), body, content_type, "Ignore")[1] == []
    assert patch.checked(kind, dict(changed), body, content_type, "Warn")[1] == texts
    if not texts:
        assert patch.checked(kind, dict(changed), body, content_type, "Strict")[1] == []
        return
    with pytest.raises(Invalid) as caught:
        patch.checked(kind, dict(changed), body, content_type, "Strict")
    assert f"strict decoding error: {', '.join(texts)}" in caught.value.message


def json_patch(*operations: Object) -> Object:
    before = {"metadata": {"name": "a", "labels": {"a": "b"}}}
    return patch.apply(row("Pod"), before, orjson.dumps(operations), patchtypes.JSON_PATCH)


def test_json_patch() -> None:
    test = {"op": "test", "path": "/metadata/name", "value": "a"}
    add = {"op": "add", "path": "/metadata/labels/c~1d", "value": "e"}
    assert json_patch(test, add) == {"metadata": {"name": "a", "labels": {"a": "b", "c/d": "e"}}}


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ({"op": "test", "path": "/metadata/name", "value": "b"}, "testing value /metadata/name failed: test failed"),
        (
            {"op": "remove", "path": "/metadata/x"},
            "error in remove for path: '/metadata/x': Unable to remove nonexistent key: x: missing value",
        ),
        (
            {"op": "add", "path": "/a/b", "value": 1},
            'add operation does not apply: doc is missing path: "/a/b": missing value',
        ),
    ],
)
def test_json_patches_that_do_not_apply(operation: Object, why: str) -> None:
    with pytest.raises(Invalid) as caught:
        json_patch(operation)
    assert caught.value.message == f"the server rejected our request due to an error in our request: {why}"


def test_json_patches_have_limits() -> None:
    operations = [{"op": "test", "path": "/metadata/name", "value": "a"}] * 10_001
    with pytest.raises(RequestEntityTooLarge, match="in a JSON patch is 10000, got 10001"):
        json_patch(*operations)
    doubling = [{"op": "copy", "from": "/metadata", "path": f"/metadata/{number}"} for number in range(40)]
    with pytest.raises(Invalid) as caught:
        json_patch(*doubling)
    assert "the accumulated size increase of copy is" in caught.value.message


@pytest.mark.parametrize(
    "content_type", [patchtypes.MERGE_PATCH, patchtypes.STRATEGIC_MERGE_PATCH, patchtypes.JSON_PATCH]
)
def test_patches_nested_too_deep(content_type: str) -> None:
    deep = b'{"a":' * 300 + b"1" + b"}" * 300
    if content_type == patchtypes.JSON_PATCH:
        deep = b'[{"op":"add","path":"/a","value":' + deep + b"}]"
    with pytest.raises(BadRequest, match="exceeded max depth"):
        patch.apply(row("Pod"), {}, deep, content_type)


def _json_error(text: bytes) -> str:
    with pytest.raises(orjson.JSONDecodeError) as caught:
        orjson.loads(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content_type", "body", "message"),
    [
        (patchtypes.MERGE_PATCH, b"[]", "error decoding patch: json: cannot unmarshal array into Go value of type "
         "map[string]interface {}"),
        (patchtypes.MERGE_PATCH, b"{", f"error decoding patch: {_json_error(b'{')}"),
        (patchtypes.JSON_PATCH, b"{}", "error decoding patch: json: cannot unmarshal object into Go value of type "
         "[]handlers.jsonPatchOp"),
        (patchtypes.STRATEGIC_MERGE_PATCH, b"1", "json: cannot unmarshal number into Go value of type "
         "map[string]interface {}"),
    ],
)  # fmt: skip
def test_malformed_patches(content_type: str, body: bytes, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        patch.apply(row("Pod"), {}, body, content_type)
    assert caught.value.message == message


def test_other_content_types() -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        patch.apply(row("Pod"), {}, b"{}", "application/json")
    assert caught.value.message == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, "
        "application/apply-patch+yaml"
    )
