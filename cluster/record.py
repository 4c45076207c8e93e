"""The record of a cluster in a small file: the first ``up`` writes it, all commands read it, ``down`` removes it."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cluster.errors import ClusterError
from cluster.settings import State


@dataclass(frozen=True)
class ClusterRecord:
    id: str  # the value of the label on this cluster's containers
    node: str
    node_ip: str
    pod_cidr: str
    core: bool = False  # without the optional features of the API server, and with the core's controllers only
    docker_pid: int = 0  # of the engine that we started; 0 if it ran already
    docker_start: int = 0  # its start time, which distinguishes it from a later process with its id
    kubeconfig: str = ""  # the user's file, into which our context was merged
    previous_context: str = ""  # the context that was selected there before


def new_id() -> str:
    return secrets.token_hex(4)


def load(state: State) -> ClusterRecord | None:
    try:
        return ClusterRecord(**json.loads(state.record.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise ClusterError(
            f"{state.record} is damaged: {error}. Remove it, then `mini-minishift up`: "
            "the objects are in etcd and stay, the pods' containers are made anew"
        ) from error


def save(state: State, record: ClusterRecord) -> None:
    write_json(state.record, asdict(record))


def update(state: State, record: ClusterRecord, **changes: Any) -> ClusterRecord:
    changed = replace(record, **changes)
    if changed != record:
        save(state, changed)
    return changed


def write_json(path: Path, document: Any) -> None:
    """Replace the file in one step, so that a reader never sees half of it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(document, indent=1) + "\n")
        temporary.replace(path)
    except OSError:  # If the disk is full, this file should not fill it further.
        temporary.unlink(missing_ok=True)
        raise
