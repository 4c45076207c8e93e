"""Writes one after the other, and what they leave behind: the object, and what each manager owns of it.

A case is a list of steps (``create``, ``update`` or ``apply``, with who does it), and then some of the object and the
fields of each manager, or the conflicts that the last step meets. The kind "Anything" has no schema.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from everykind import REGISTRY

from apiserver import managedfields
from apiserver.managedfields import fieldset
from apiserver.model.fieldmanager import Writer
from apiserver.model.kind import Kind, Strategy
from apiserver.schema.codec import UpstreamCodec
from machinery.errors import ApiError
from machinery.objects import Object

CASES = [
    pytest.param(case, id=f"{path.stem}: {case['name']}")
    for path in sorted(Path(__file__).parent.glob("*.yaml"))
    for case in yaml.safe_load(path.read_text())
]
ANYTHING = Kind(
    "",
    "v1",
    "Anything",
    "anythings",
    UpstreamCodec("io.k8s.apimachinery.pkg.runtime.RawExtension"),
    strategy=Strategy(),
)


@pytest.mark.parametrize("case", CASES)
def test_case(case: dict[str, Any]) -> None:
    kind = REGISTRY.by_kind("", case["kind"]) or ANYTHING
    live: Object | None = None
    failure: ApiError | None = None
    for step in case["steps"]:
        assert failure is None, failure
        try:
            live = carry_out(kind, live, step)
        except ApiError as error:
            failure = error
    if "conflicts" in case:
        assert failure is not None
        assert failure.code == 409
        causes = [f"{cause['message']}: {cause['field']}" for cause in failure.details["causes"]]  # type: ignore[index]
        assert causes == [f"conflict with {conflict}" for conflict in case["conflicts"]]
    elif "error" in case:
        assert failure is not None
        assert failure.message == case["error"]
    else:
        assert failure is None, failure
        assert live is not None
        check(case, live)


def carry_out(kind: Kind, live: Object | None, step: dict[str, Any]) -> Object:
    """One write, as the verbs make it, without defaults and admission."""
    step = copy.deepcopy(step)
    (verb, obj), who = next((key, step[key]) for key in ("create", "update", "apply") if key in step), step["by"]
    obj = {"apiVersion": "v1", "kind": kind.kind, **obj}
    obj.setdefault("metadata", {})
    writer = Writer(who, step.get("version", ""), step.get("subresource", ""))
    if verb == "create":
        managedfields.created(kind, obj, writer)
    elif verb == "update":
        assert live is not None
        managedfields.updated(kind, obj, live, writer)
    else:
        obj = managedfields.apply(kind, live, obj, writer, force=step.get("force", False))
    obj["metadata"]["uid"] = "1"
    return obj  # type: ignore[no-any-return]


def check(case: dict[str, Any], live: Object) -> None:
    entries = live["metadata"].pop("managedFields", [])
    for key, value in case.get("object", {}).items():
        assert live.get(key) == value
    owned = {
        " ".join([entry["manager"], entry["operation"], entry.get("subresource", "")]).strip(): list(
            fieldset.paths(entry["fieldsV1"])
        )
        for entry in entries
    }
    assert owned == case["managers"]
