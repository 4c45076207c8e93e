"""Turn what Docker's API says of containers and images into the values of model/. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kubelet.model import labels
from kubelet.model.runtime import RuntimeContainer, RuntimeImage, State
from kubelet.model.streaming import ContainerUsage

STATES: dict[str, State] = {
    "created": "created",
    "running": "running",
    "paused": "running",
    "restarting": "running",
    "removing": "exited",
    "exited": "exited",
    "dead": "exited",
}


def container_of(found: dict[str, Any]) -> RuntimeContainer:
    state, config = found["State"], found["Config"]
    networks = (found.get("NetworkSettings") or {}).get("Networks") or {}
    return RuntimeContainer(
        id=found["Id"],
        **labels.fields(config["Labels"] or {}),
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
        stop_signal=config.get("StopSignal") or "SIGTERM",
        tty=bool(config.get("Tty")),
    )


def container_of_row(row: dict[str, Any]) -> RuntimeContainer:
    """Return the container that a row of a list describes, which says less than an inspection."""
    return RuntimeContainer(
        id=row["Id"],
        **labels.fields(row["Labels"] or {}),
        state=STATES[row["State"]],
        created=float(row["Created"]),
        image=row["Image"],
        image_id=row["ImageID"],
    )


def usage_of(found: dict[str, Any]) -> ContainerUsage | None:
    memory = found.get("memory_stats") or {}
    if "usage" not in memory:
        return None
    detail = memory.get("stats") or {}
    inactive = int(detail.get("total_inactive_file") or detail.get("inactive_file") or 0)
    used = int(memory["usage"])
    return ContainerUsage(int(found["cpu_stats"]["cpu_usage"]["total_usage"]), used, max(0, used - inactive))


def image_of(found: dict[str, Any]) -> RuntimeImage:
    names = (found.get("RepoDigests") or []) + (found.get("RepoTags") or [])
    return RuntimeImage(found["Id"], (found.get("Config") or {}).get("User") or "", found.get("Size", 0), tuple(names))


def timestamp(text: str) -> float | None:
    """Return the Unix time of Docker's RFC 3339 text with up to nine decimals, None for its year 1 (never)."""
    if not text or text.startswith("0001-"):
        return None
    if not text.endswith("Z"):  # Docker writes UTC, but does not promise it
        return datetime.fromisoformat(text).timestamp()
    head, _, fraction = text[:-1].partition(".")
    return datetime.fromisoformat(head).replace(tzinfo=UTC).timestamp() + float(f"0.{fraction or 0}")
