"""Structural schemas, and what upstream says about others (apiextensions pkg/apiserver/schema/validation_test.go)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from apiserver.crdschema.openapischema import check_schema
from apiserver.crdschema.structural import check_structural

CASES = yaml.safe_load(Path(__file__).with_name("schemas.yaml").read_text())


def structural(schema: Any) -> list[str]:
    return [str(error) for error in check_structural("schema", schema)]


def allowed(schema: Any) -> list[str]:
    return [str(error) for error in check_schema("schema", schema, status=False)]


@pytest.mark.parametrize("schema", CASES["good"])
def test_good_schemas(schema: Any) -> None:
    assert structural(schema) == allowed(schema) == []


@pytest.mark.parametrize("case", CASES["not structural"])
def test_what_is_not_structural(case: Any) -> None:
    assert case["error"] in structural(case["schema"])


@pytest.mark.parametrize("case", CASES["not allowed"])
def test_what_is_not_allowed(case: Any) -> None:
    assert case["error"] in allowed(case["schema"])


def test_the_root_of_a_schema_with_status() -> None:
    schema: dict[str, Any] = {"type": "object", "oneOf": [{"required": ["a"]}]}
    [error] = check_schema("schema", schema, status=True)
    assert error.field == "schema"
    assert error.detail.startswith("only [Description Type Format")
    assert error.detail.endswith("fields are allowed at the root of the schema if the status subresource is enabled")
    assert list(check_schema("schema", schema, status=False)) == []
