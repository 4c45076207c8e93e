"""Requests that our own OpenAPI document allows, requests that it forbids, and objects with something wrong in them.

Whatever comes in: the answer is never 5xx; it is what the document says when it is a success, else a Status.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from everykind import REGISTRY
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from integration.apiserver.conftest import Api
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi import checks

from apiserver.model.kind import Kind

pytestmark = [pytest.mark.etcd, pytest.mark.parametrize("api", ["memory"], indirect=True)]
AUTHORIZATION = {"Authorization": "Bearer admin-token"}
GOLDENS = Path(__file__).parents[2] / "golden" / "kinds"
# They stream bytes to a kubelet, which there is not.
STREAMS = ("exec", "attach", "portforward", "log", "proxy")
NAME = "odd"
TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.Time"


def fuzz(examples: int) -> settings:
    """The same examples in each run: what they find must be there for everybody."""
    return settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


# How Python, and not Go, prints values.
PYTHONS = re.compile(r"\{'|\['|[:=(&{\[ ](None|True|False)(?=[\s,})\]]|$)|<class |object at 0x|Decimal\(")


def is_answered_well(code: int, body: bytes, what: Any) -> None:
    assert code < 500, (what, body)
    if code >= 400:
        status = json.loads(body)
        assert (status["kind"], status["code"]) == ("Status", code), (what, body)
        assert status["message"], what
        assert not PYTHONS.search(status["message"]), (what, status["message"])


# --- by the document -------------------------------------------------------------------------------------------------


def document(api: Api, name: str) -> dict[str, Any]:
    """A document of ours, adapted for a machine's taste: a Time may be null, and bodies are any object.

    (Upstream's documents do not say the first. Bodies that are almost right come from the goldens below.)
    """
    found: dict[str, Any] = api("GET", f"/openapi/v3/{name}").json
    if TIME in found["components"]["schemas"]:
        found["components"]["schemas"][TIME]["nullable"] = True
    for path in found["paths"].values():
        for operation in path.values():
            if isinstance(operation, dict) and "requestBody" in operation:
                for content in operation["requestBody"]["content"].values():
                    content["schema"] = {"type": "object"}
    return found


def operations(api: Api, name: str) -> Iterator[Any]:
    schema = schemathesis.openapi.from_dict(document(api, name))
    found = [operation.ok() for operation in schema.get_all_operations()]
    for operation in sorted(found, key=lambda operation: operation.method == "delete"):
        ends_the_namespace = (operation.method, operation.path) == ("delete", "/api/v1/namespaces/{name}")
        if not set(STREAMS) & set(operation.path.split("/")) and not ends_the_namespace:
            yield operation


@pytest.fixture
def something(api: Api) -> None:
    """An object of each kind by which a path may go, so that not all of them lead to a 404."""
    api("POST", "/api/v1/namespaces", {"metadata": {"name": NAME}})
    api("POST", f"/api/v1/namespaces/{NAME}/serviceaccounts", {"metadata": {"name": "default"}})
    for seed in SEEDS:
        body = copy.deepcopy(seed)
        body["metadata"] |= {"name": NAME}
        body["metadata"].pop("namespace", None)
        api("POST", collection(kind_of(seed)), body)


@pytest.mark.parametrize(
    "name", sorted({f"apis/{k.group}/{k.version}" if k.group else "api/v1" for k in REGISTRY.kinds()})
)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_what_the_document_allows_and_what_it_does_not(api: Api, something: None, name: str, mode: Any) -> None:
    for operation in operations(api, name):
        if mode is GenerationMode.NEGATIVE and not operation.query and not operation.body:
            continue

        @fuzz(4)
        @given(operation.as_strategy(generation_mode=mode), st.booleans())
        def ask(case: Case, existing: bool) -> None:
            if existing:
                case.path_parameters |= dict.fromkeys(case.path_parameters, NAME)
            if case.query and case.query.get("watch"):
                case.query["timeoutSeconds"] = "-1"
            response = case.call(app=api.app, headers=AUTHORIZATION)
            is_answered_well(response.status_code, response.content, case.as_curl_command())
            if 200 <= response.status_code < 300 and not (case.query or {}).get("watch"):
                # Upstream's document knows no more of what a deletion answers than a Status.
                is_told = [] if case.method == "DELETE" else [checks.response_schema_conformance]
                case.validate_response(
                    response, checks=[checks.status_code_conformance, checks.content_type_conformance, *is_told]
                )

        ask()


# --- objects with something wrong in them ----------------------------------------------------------------------------


SEEDS: list[dict[str, Any]] = [yaml.safe_load(path.read_text()) for path in sorted(GOLDENS.glob("**/*.input.yaml"))]


def kind_of(obj: dict[str, Any]) -> Kind:
    kind = REGISTRY.by_kind(obj["apiVersion"].rpartition("/")[0], obj["kind"])
    assert kind is not None
    return kind


def collection(kind: Kind) -> str:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    return f"{root}/namespaces/{NAME}/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"a": value}
    return value


# What has broken servers before: types, sizes, signs, times, quantities, addresses, names.
ODD: list[Any] = [
    None, "", "\0", "é\u200b\U0001f600", "a/b", "..", "-1", "1e99999", "1e-999999Ki", "9" * 30 + "E", "0.1n", "1Ki",
    "2020-01-01T00:00:00Z", "9999-99-99T99:99:99Z", "0000-01-01T00:00:00Z", "2020-01-01T00:00:00.999999999999+99:99",
    "::1", "300.1.1.1", "10.0.0.0/33", "fe80::1%eth0", "http", "$(A)", "%s", "\n", "*", "a" * 300, "a" * 70_000,
    0, -1, 65_536, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**30, 1.5, 1e308, -0.0, True, False,
    [], {}, [None], [[]], [{}], [""], ["a", "a"], {"": None}, {"a": None}, {"\0": "x"}, nested(3), nested(300),
]  # fmt: skip
FIELDS = sorted(
    {place[-1] for seed in SEEDS for place in places(seed) if place and isinstance(place[-1], str)}
    | {"managedFields", "ownerReferences", "finalizers", "deletionTimestamp", "generateName", "annotations"}
    | {"conditions", "matchExpressions", "$patch", "$setElementOrder/containers", "$retainKeys"}
    | {"$deleteFromPrimitiveList/finalizers"}
)


@st.composite
def broken(draw: st.DrawFn, seed: dict[str, Any]) -> Any:
    """An object of a kind with one to three places changed, removed or added."""
    obj: Any = {"": copy.deepcopy(seed)}  # so that the root has a place, too
    for _ in range(draw(st.integers(1, 3))):
        *path, key = draw(st.sampled_from([place for place in places(obj) if place]))
        parent = obj
        for step in path:
            parent = parent[step]
        match draw(st.sampled_from(("change", "change", "remove", "add"))):
            case "change":
                parent[key] = copy.deepcopy(draw(st.sampled_from(ODD)))
            case "remove" if path:
                del parent[key]
            case "add" if isinstance(parent[key], dict):
                parent[key][draw(st.sampled_from(FIELDS))] = copy.deepcopy(draw(st.sampled_from(ODD + SEEDS)))
            case "add" if isinstance(parent[key], list) and parent[key]:
                parent[key].append(copy.deepcopy(draw(st.sampled_from(parent[key]))))
    return obj[""]


METHODS = (
    ("POST", "application/json"),
    ("PUT", "application/json"),
    ("PATCH", "application/merge-patch+json"),
    ("PATCH", "application/strategic-merge-patch+json"),
)


@fuzz(1500)
@given(st.data())
def test_objects_with_something_wrong(api: Api, something: None, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(SEEDS))
    kind, body = kind_of(seed), data.draw(broken(seed))
    method, content_type = data.draw(st.sampled_from(METHODS))
    if isinstance(body, dict) and isinstance(body.get("metadata"), dict):
        body["metadata"].pop("namespace", None)
        if method != "POST":
            body["metadata"]["name"] = NAME
    path = collection(kind) if method == "POST" else f"{collection(kind)}/{NAME}"
    parts = [row.name for row in kind.subresources if row.name not in STREAMS]
    if method != "POST" and parts and data.draw(st.booleans()):
        path += f"/{data.draw(st.sampled_from(parts))}"
    try:
        text = json.dumps(body).encode()
    except RecursionError:
        return
    query = data.draw(st.sampled_from(("", "?fieldValidation=Strict", "?dryRun=All")))
    answer = api(method, path + query, text, {"Content-Type": content_type})
    is_answered_well(answer.code, answer.body, (method, path, text[:3000]))


def test_whatever_was_let_in_can_be_shown(api: Api, something: None) -> None:
    """Comes after the tests above: what they got stored must print and be watched as anything else."""
    table = {"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}
    for kind in REGISTRY.stored():
        plural = collection(kind)
        assert api("GET", plural).code == 200
        assert api("GET", plural, headers=table).code == 200, kind.resource
        if "watch" in kind.verbs:
            shown = api("GET", f"{plural}?watch=1&timeoutSeconds=-1", headers=table).body
            assert all(json.loads(line)["type"] == "ADDED" for line in shown.splitlines()), kind.resource
