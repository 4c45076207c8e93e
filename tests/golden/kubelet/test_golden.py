"""A pod and what is known of it → the kubelet's next actions and the pod's status.

``NAME.input.yaml`` gives ``NAME.output.yaml``. Times are written ``<Now>``, ``<Now-30s>``, ``<Now+5s>``; a case says
only what matters to it. Run ``pytest --record`` to write the outputs anew, and read the difference before you commit
it.
"""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from goldens import Goldens

from kubelet.model.backoff import Backoff
from kubelet.model.runtime import RuntimeContainer
from kubelet.pod.plan import plan
from kubelet.pod.state import Failure, PodState, ProbeResults, Pull, StartError, Stop, Volumes
from kubelet.pod.status import status
from kubelet.pod.storage import StorageUsage
from machinery.objects import Object, format_time, parse_time

HERE = Path(__file__).parent
CASES = sorted(HERE.glob("*/*.input.yaml"))
NOW = parse_time("2026-01-02T03:04:05Z").timestamp()
RELATIVE = re.compile(r"<Now(?:([+-]\d+)s)?>")
TABLES = {
    "stops": Stop,
    "verdicts": ProbeResults,
    "pulls": Pull,
    "errors": StartError,
    "crash_backoffs": Backoff,
    "pull_backoffs": Backoff,
}


@pytest.mark.parametrize("case", CASES, ids=lambda path: f"{path.parent.name}-{path.name.removesuffix('.input.yaml')}")
def test_golden(case: Path, goldens: Goldens) -> None:
    state = state_of(yaml.safe_load(case.read_text()))
    decision = plan(state, NOW)
    result: dict[str, Any] = {"actions": [described(action) for action in decision.actions]}
    if decision.wake_at is not None:
        result["wakeAt"] = shown(decision.wake_at)
    result["status"] = brief(status(state, "172.17.0.1", NOW))

    written = yaml.safe_dump(relative(result), sort_keys=False, width=120)
    goldens.compare(written, case.with_name(case.name.replace("input", "output")))


def state_of(given: dict[str, Any]) -> PodState:
    known = numbers(given.get("state") or {})
    fields: dict[str, Any] = {
        name: {key: kind(**value) for key, value in known.pop(name, {}).items()} for name, kind in TABLES.items()
    }
    containers = [container_of(name, row) for name, row in (known.pop("containers", None) or {}).items()]
    fields["containers"] = {container.id: container for container in containers}
    fields["volumes"] = Volumes(**known.pop("volumes", {"phase": "mounted"}))
    for name, kind in (("failure", Failure), ("sandbox_error", StartError), ("storage", StorageUsage)):
        if name in known:
            fields[name] = kind(**known.pop(name))
    return PodState(pod=pod_of(given["pod"]), **{"start_time": NOW - 60, **fields, **known})


def container_of(container_id: str, given: dict[str, Any]) -> RuntimeContainer:
    """``box`` is the sandbox of a case, everything else a container in it."""
    sandbox = container_id.startswith("box")
    defaults: dict[str, Any] = {"pod_uid": "uid-p", "pod_name": "p", "namespace": "ns", "created": NOW - 60}
    if sandbox:
        defaults |= {"name": "POD", "sandbox": True, "ip": "172.17.0.2", "state": "running", "started": NOW - 60}
    else:
        defaults |= {"name": container_id, "sandbox_id": "box", "image": "busybox:1", "image_id": "sha256:1"}
        if given.get("state", "running") == "running":
            defaults |= {"state": "running", "started": NOW - 50}
    return RuntimeContainer(id=container_id, **{**defaults, **given})


def pod_of(given: Object) -> Object:
    pod = timed(given)
    meta = {"name": "p", "namespace": "ns", "uid": "uid-p", **pod.get("metadata", {})}
    return {"apiVersion": "v1", "kind": "Pod", **pod, "metadata": meta}


def numbers(value: Any) -> Any:
    """What the kubelet itself knows is in seconds."""
    return _mapped(value, lambda match: NOW + int(match[1] or 0))


def timed(value: Any) -> Any:
    """What stands in the API object is text."""
    return _mapped(value, lambda match: format_time(datetime.fromtimestamp(NOW + int(match[1] or 0), UTC)))


def _mapped(value: Any, replace: Any) -> Any:
    if isinstance(value, dict):
        return {key: _mapped(inner, replace) for key, inner in value.items()}
    if isinstance(value, list):
        return [_mapped(inner, replace) for inner in value]
    match = RELATIVE.fullmatch(value) if isinstance(value, str) else None
    return replace(match) if match else value


def described(action: Any) -> dict[str, Any]:
    return {"do": type(action).__name__, **dataclasses.asdict(action)}


def brief(made: dict[str, Any]) -> dict[str, Any]:
    """Conditions in a line each; they all have the same fields."""
    lines = []
    for condition in made["conditions"]:
        assert condition.pop("lastProbeTime") is None
        since = relative(condition["lastTransitionTime"])
        why = ": ".join(condition[field] for field in ("reason", "message") if field in condition)
        lines.append(f"{condition['type']}={condition['status']} {since} {why}".rstrip())
    return {**made, "conditions": lines}


def shown(moment: float) -> str:
    seconds = round(moment - NOW)
    return "<Now>" if seconds == 0 else f"<Now{seconds:+d}s>"


def relative(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: relative(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [relative(inner) for inner in value]
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value):
        return shown(parse_time(value).timestamp())
    return value
