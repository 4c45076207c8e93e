"""A Service and its pods → Endpoints and EndpointSlices: ``<case>.input.yaml`` gives ``<case>.output.yaml``.

Run ``pytest --record`` to write the outputs anew, and read the difference before you commit it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from goldens import Goldens

from controllers.services import endpoints, endpointslice
from machinery.objects import Object

CASES = sorted(Path(__file__).parent.glob("endpoints/*.input.yaml"))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name.removesuffix(".input.yaml"))
def test_golden(case: Path, goldens: Goldens) -> None:
    given = yaml.safe_load(case.read_text())
    service = completed(given["service"], "svc", "Service")
    pods = [completed(pod, name, "Pod") for name, pod in given.get("pods", {}).items()]
    nodes: dict[str, Object] = {
        pod["spec"]["nodeName"]: {"metadata": {}} for pod in pods if pod["spec"].get("nodeName")
    }
    changes = endpointslice.plan(service, pods, [], nodes.get)
    result = {"endpoints": endpoints.plan(service, pods, None), "slices": changes.create}
    assert not changes.update
    assert not changes.delete

    written = without_aliases(result)
    goldens.compare(written, case.with_name(case.name.replace("input", "output")))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name.removesuffix(".input.yaml"))
def test_what_is_right_is_not_written_again(case: Path) -> None:
    given = yaml.safe_load(case.read_text())
    service = completed(given["service"], "svc", "Service")
    pods = [completed(pod, name, "Pod") for name, pod in given.get("pods", {}).items()]
    nodes: dict[str, Object] = {
        pod["spec"]["nodeName"]: {"metadata": {}} for pod in pods if pod["spec"].get("nodeName")
    }
    written = yaml.safe_load(case.with_name(case.name.replace("input", "output")).read_text())
    for number, each in enumerate(written["slices"]):
        each["metadata"] |= {"name": f"svc-{number}", "uid": str(number), "resourceVersion": "1"}

    assert endpoints.plan(service, pods[::-1], written["endpoints"]) is None
    changes = endpointslice.plan(service, pods[::-1], written["slices"], nodes.get)
    assert (changes.create, changes.update, changes.delete) == ([], [], [])


def nodes_of(pods: list[Object]) -> dict[str, Object]:
    return {pod["spec"]["nodeName"]: {"metadata": {}} for pod in pods if pod["spec"].get("nodeName")}


def completed(given: Object, name: str, kind: str) -> Object:
    """Fills in what a case need not say."""
    meta = {"name": name, "namespace": "ns", "uid": f"uid-{name}", **given.get("metadata", {})}
    spec = {"containers": []} if kind == "Pod" else {"selector": {"app": "x"}, "clusterIP": "172.30.0.9"}
    return {"apiVersion": "v1", "kind": kind, **given, "metadata": meta, "spec": {**spec, **given.get("spec", {})}}


def without_aliases(result: Any) -> str:
    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    return yaml.dump(result, Dumper=Dumper, sort_keys=False)
