"""What the README says about adding a kind: its example row is taken as it stands there, and served."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from everykind import ROWS

from apiserver.api import discovery, openapi, tables
from apiserver.kinds.registry import Registry
from apiserver.model.kind import Kind
from machinery.errors import BadRequest

README = Path(__file__).parents[3] / "README.md"


@pytest.fixture(scope="module")
def row() -> Kind:
    [block] = [text for text in re.findall(r"```python\n(.*?)```", README.read_text(), re.S) if "= Kind(" in text]
    names: dict[str, Any] = {}
    exec(block, names)
    made = names["HORIZONTAL_POD_AUTOSCALERS"]
    assert isinstance(made, Kind)
    assert Registry(ROWS).by_kind(made.group, made.kind) is None, (
        "the README's example is built in by now: take another"
    )
    return made


def test_the_row_is_discovered_and_described(row: Kind) -> None:
    registry = Registry((*ROWS, row))
    assert registry.find("autoscaling", "v2", "horizontalpodautoscalers") is row
    listed = discovery.resource_list(registry.kinds(), "autoscaling", "v2")
    assert listed is not None
    assert [each["name"] for each in listed["resources"]] == [
        "horizontalpodautoscalers",
        "horizontalpodautoscalers/status",
    ]
    document = orjson.loads(openapi.v3(registry, "apis/autoscaling/v2").body)
    path = "/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{name}"
    assert {"get", "put", "patch", "delete"} <= document["paths"][path].keys()
    assert "maxReplicas" in document["components"]["schemas"][f"{row.definition}Spec"]["properties"]


def test_its_objects_are_checked_and_shown(row: Kind) -> None:
    autoscaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"}}
    body = orjson.dumps(
        {**autoscaler, "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "ReplicationController", "name": "web"}}}
    )
    decoded, warnings = row.codec.decode(row, body, "application/json", field_validation="Strict")
    assert not warnings
    assert tables.cells(row, decoded)[:2] == ["web", 3]
    misspelt = orjson.dumps({**autoscaler, "spec": {"maxReplica": 3}})
    with pytest.raises(BadRequest, match=r'unknown field "spec\.maxReplica"'):
        row.codec.decode(row, misspelt, "application/json", field_validation="Strict")
