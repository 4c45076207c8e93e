"""Whatever is sent: no answer of 500 or above, no hang, and what was let in can be shown."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from everykind import REGISTRY
from integration.hostile.fuzz import prepare, run, send
from integration.hostile.generator import collection
from integration.hostile.server import NAMESPACE, THINGS, Api, Request

SECONDS = 20.0
REGRESSIONS = yaml.safe_load(Path(__file__).with_name("regressions.yaml").read_text())
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"


def test_whatever_is_sent_is_answered(api: Api) -> None:
    """The seed is another one each time, unless SEED is set; a failure prints how to send the request again."""
    seed = int(os.environ.get("SEED") or random.randrange(1 << 32))
    count, failures = run(api, seed, SECONDS)
    assert not failures, "\n".join(failures)
    assert count > 100, "the machine is too slow to learn anything"


def test_whatever_was_let_in_can_be_shown(api: Api) -> None:
    """Comes after the test above."""
    for path in [*(collection(kind) for kind in REGISTRY.stored()), THINGS]:
        for accept in ("application/json", TABLE, "application/yaml"):
            assert api("GET", path, Accept=accept).code == 200, (path, accept)
        shown = api("GET", f"{path}?watch=1&timeoutSeconds=-1", Accept=TABLE)
        if shown.code != 405:
            assert all(json.loads(line)["type"] == "ADDED" for line in shown.body.splitlines()), path


@pytest.mark.parametrize("case", REGRESSIONS, ids=lambda case: case["what"])
def test_what_was_found_stays_mended(api: Api, case: dict[str, Any]) -> None:
    prepare(api)
    path = case["path"].replace("{ns}", f"namespaces/{NAMESPACE}").replace("{things}", THINGS)
    body = (
        case.get("body", "").replace("<400 digits>", "1" * 400).replace("<300 lists>", "[" * 300 + "]" * 300).encode()
    )
    content_type = case.get("type", "application/json")
    request = Request(case["method"], path, body, content_type, case.get("headers", {}))
    assert send(api, request) == ""
    answer = api.ask(request)
    assert answer.code == case["code"], answer
    assert case["words"] in answer.message
