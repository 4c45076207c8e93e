"""``stop`` keeps the state, ``down`` removes everything that a cluster ever put on the machine."""

from __future__ import annotations

import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cluster import engine as engines
from cluster import images, kubeconfigs, leftovers, lock, packages, record, table
from cluster.docker import Engine
from cluster.processes import Process, is_alive, send, wait_gone
from cluster.progress import Progress
from cluster.settings import CLUSTER_LABEL, State

STOP_SECONDS = 45.0  # The supervisor kills components that do not stop within 10 s.


def stop(state: State, progress: Progress) -> None:
    """End all processes and the pods' containers. Objects stay in etcd, and containers for the next ``up``."""
    packages.search_path()
    known = record.load(state)
    with progress.step("processes") as step:
        step.note(f"{_end_processes(state)} ended")
    engine = Engine()
    if known is not None and engine.version() is not None:
        with progress.step("containers") as step:
            step.note(f"{_stop_containers(engine, known.id)} stopped")


def down(state: State, progress: Progress, *, keep_images: bool = False) -> None:
    packages.search_path()
    known = record.load(state)
    other = lock.holder()
    ours_alone = other is None or other.state == str(state.root)
    with progress.step("processes") as step:
        step.note(f"{_end_processes(state)} ended")
    _remove_from_docker(state, known, progress, ours_alone=ours_alone, keep_images=keep_images)
    if ours_alone and lock.owner() is not None:
        with progress.step("rules, route, device") as step:
            leftovers.remove_rules()
            step.note("removed")
        lock.forget()
    if known is not None and known.kubeconfig:
        with progress.step("kubeconfig") as step:
            step.note("context removed" if kubeconfigs.unmerge(known) else "no context of ours")
    with progress.step("state") as step:
        leftovers.unmount_below(state.root)
        step.note(f"{state.root} removed" if state.root.exists() else "none")
        _remove_tree(state.root)


def _end_processes(state: State) -> int:
    """End the supervisor, which ends its components, then all other processes of the cluster; return their number."""
    holder = lock.holder()
    count = 0
    if holder is not None and holder.state == str(state.root):
        count = 1 + sum(row.runs for row in table.read(state))
        send(holder.supervisor, signal.SIGTERM)
        wait_gone(holder.supervisor, STOP_SECONDS)
    return count + leftovers.end_processes(str(state.root))


def _stop_containers(engine: Engine, cluster_id: str) -> int:
    running = engine.containers(f"{CLUSTER_LABEL}={cluster_id}", running_only=True)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda container: engine.stop_container(container["Id"], 2), running))
    return len(running)


def _remove_from_docker(
    state: State, known: record.ClusterRecord | None, progress: Progress, *, ours_alone: bool, keep_images: bool
) -> None:
    """Remove containers and images. If no engine runs and there is something to remove, one is started for it."""
    engine = Engine()
    started = Process(known.docker_pid, known.docker_start) if known and known.docker_pid else None
    if engine.version() is None:
        if known is None or shutil.which("dockerd") is None:
            return
        with progress.step("Docker"):
            started = engines.start(engine, state.logs / "dockerd.log")
    with progress.step("containers") as step:
        only = "" if ours_alone else known.id if known else "none"
        step.note(f"{leftovers.remove_containers(engine, only=only)} removed")
    if not keep_images and ours_alone:
        with progress.step("images") as step:
            images.remove(engine)
            step.note("removed")
    if started is not None and is_alive(started):
        with progress.step("Docker") as step:
            step.note(engines.stop(engine, started))


def _remove_tree(root: Path) -> None:
    if root.exists():
        shutil.rmtree(root)
