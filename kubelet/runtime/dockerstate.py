"""What Docker's API says of containers and images → the values of protocol.py. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kubelet.model import labels
from kubelet.model.runtime import Container, Image, State

STATES: dict[str, State] = {
    "created": "created",
    "running": "running",
    "paused": "running",
    "restarting": "running",
    "removing": "exited",
    "exited": "exited",
    "dead": "exited",
}


def container_of(found: dict[str, Any]) -> Container:
    state, config = found["State"], found["Config"]
    label: dict[str, str] = config["Labels"] or {}
    networks = (found.get("NetworkSettings") or {}).get("Networks") or {}
    return Container(
        id=found["Id"],
        pod_uid=label.get(labels.POD_UID, ""),
        pod_name=label.get(labels.POD_NAME, ""),
        namespace=label.get(labels.POD_NAMESPACE, ""),
        name=label.get(labels.CONTAINER_NAME, ""),
        sandbox=label.get(labels.TYPE) == labels.SANDBOX,
        attempt=int(label.get(labels.RESTART_COUNT, "0")),
        state=STATES[state["Status"]],
        created=timestamp(found["Created"]) or 0.0,
        started=timestamp(state["StartedAt"]),
        finished=timestamp(state["FinishedAt"]),
        exit_code=int(state["ExitCode"]),
        oom_killed=bool(state.get("OOMKilled")),
        error=state.get("Error", ""),
        image=config["Image"],
        image_id=found["Image"],
        ip=next((network["IPAddress"] for network in networks.values() if network.get("IPAddress")), ""),
        pid=int(state.get("Pid", 0)),
        sandbox_id=label.get(labels.SANDBOX_ID, ""),
        runtime=label.get(labels.RUNTIME, ""),
        stop_signal=config.get("StopSignal") or "SIGTERM",
        grace=int(label.get(labels.GRACE, "30")),
    )


def container_of_row(row: dict[str, Any]) -> Container:
    """One row of a list, which says less than an inspection."""
    label: dict[str, str] = row["Labels"] or {}
    return Container(
        id=row["Id"],
        pod_uid=label.get(labels.POD_UID, ""),
        pod_name=label.get(labels.POD_NAME, ""),
        namespace=label.get(labels.POD_NAMESPACE, ""),
        name=label.get(labels.CONTAINER_NAME, ""),
        sandbox=label.get(labels.TYPE) == labels.SANDBOX,
        attempt=int(label.get(labels.RESTART_COUNT, "0")),
        state=STATES[row["State"]],
        created=float(row["Created"]),
        image=row["Image"],
        image_id=row["ImageID"],
        sandbox_id=label.get(labels.SANDBOX_ID, ""),
        runtime=label.get(labels.RUNTIME, ""),
        grace=int(label.get(labels.GRACE, "30")),
    )


def image_of(found: dict[str, Any]) -> Image:
    names = (found.get("RepoDigests") or []) + (found.get("RepoTags") or [])
    return Image(found["Id"], (found.get("Config") or {}).get("User") or "", found.get("Size", 0), tuple(names))


def timestamp(text: str) -> float | None:
    """Docker's RFC 3339 with up to nine decimals; its year 1 stands for never."""
    if not text or text.startswith("0001-"):
        return None
    if not text.endswith("Z"):  # Docker writes UTC, but nothing makes it
        return datetime.fromisoformat(text).timestamp()
    head, _, fraction = text[:-1].partition(".")
    return datetime.fromisoformat(head).replace(tzinfo=UTC).timestamp() + float(f"0.{fraction or 0}")
