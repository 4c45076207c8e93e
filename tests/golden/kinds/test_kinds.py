"""Every kind's defaults, checks and columns against recorded ones.

``NAME.input.yaml`` is what a client sends, ``NAME.old.yaml`` beside it what is there already (then it is an update).
``NAME.output.yaml`` is what is stored, ``NAME.errors`` what is wrong, and
``NAME.cells`` the row of ``kubectl get -o wide``.
``pytest --record`` records anew what there is a file for (and the output of an input that has none).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from everykind import REGISTRY
from goldens import Goldens

from apiserver.api.tables import cells
from apiserver.model.kind import Kind

HERE = Path(__file__).parent
INPUTS = sorted(HERE.glob("**/*.input.yaml"))


def kind_of(obj: dict[str, Any]) -> Kind:
    group = obj["apiVersion"].rpartition("/")[0]
    kind = REGISTRY.by_kind(group, obj["kind"])
    assert kind is not None, f"{obj['kind']} is not served"
    return kind


def through(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The object as the verbs prepare it, and what they would refuse it for."""
    obj = yaml.safe_load(path.read_text())
    kind, before = kind_of(obj), path.with_name(path.name.replace(".input.", ".old."))
    kind.strategy.default(obj)
    if before.exists():
        old = yaml.safe_load(before.read_text())
        kind.strategy.default(old)
        kind.strategy.prepare_create(old)
        kind.strategy.prepare_update(obj, old)
        errors = [str(error) for error in kind.strategy.validate_update(obj, old)]
    else:
        kind.strategy.prepare_create(obj)
        errors = [*name_errors(kind, obj), *(str(error) for error in kind.strategy.validate(obj))]
    return obj, errors


def name_errors(kind: Kind, obj: dict[str, Any]) -> list[str]:
    return [f"metadata.name: {message}" for message in kind.strategy.validate_name(obj["metadata"]["name"])]


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: str(path.relative_to(HERE)).removesuffix(".input.yaml"))
def test_kind(path: Path, goldens: Goldens) -> None:
    output, errors, row = (
        path.with_name(path.name.replace(".input.yaml", suffix)) for suffix in (".output.yaml", ".errors", ".cells")
    )
    if row.exists():
        obj = yaml.safe_load(path.read_text())
        goldens.compare("".join(f"{cell}\n" for cell in cells(kind_of(obj), obj)), row)
        return
    obj, found = through(path)
    if errors.exists():
        goldens.compare("".join(f"{error}\n" for error in found), errors)
        assert found, "nothing is wrong with it: make it an .output.yaml"
        return
    assert found == []
    goldens.compare(yaml.safe_dump(obj, sort_keys=False), output)
    kind_of(obj).strategy.default(again := yaml.safe_load(output.read_text()))
    assert again == obj, "defaulting twice changes it again"
