"""The command ``up``: bring the machine from any state to a Ready node, in steps that are shown with their seconds.

Each step looks first and does only what is missing. So a second ``up`` changes nothing, and one after a reboot, a kill
or a stop brings the same cluster back. The components are started before the images are built, because waiting for
them takes longest, and they need no help.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from cluster import engine as engines
from cluster import images, kubeconfigs, leftovers, lock, packages, pki, preflight, record
from cluster.components import components
from cluster.docker import Engine
from cluster.errors import ClusterError
from cluster.processes import Process
from cluster.progress import Progress
from cluster.settings import REPOSITORY, State
from cluster.supervisor import environment
from machinery.extras import require


class CannotStart(ClusterError):
    """The machine is not fit for a cluster in a way that we must not change ourselves; the text says what to do."""


def up(state: State, progress: Progress, *, core: bool | None = None, seconds: float = 120) -> None:
    """Start the cluster, or bring it back.

    ``core`` chooses the core alone or the whole; None keeps what the cluster was created with. Raises CannotStart.
    """
    require("cluster")
    packages.search_path()
    runs = _check_lock(state)
    engine = Engine()
    started = _prepare_machine(state, engine, progress, ours_runs=runs)
    known = _remember(state, engine, started)
    if core is not None and core != known.core:
        if runs:
            raise CannotStart("the running cluster was started otherwise: first mini-minishift stop, then up again")
        known = record.update(state, known, core=core)
    if not runs:
        with progress.step("leftovers") as step:
            for text in leftovers.clear(state, known.id, engine) or ["none"]:
                step.note(text)
        with progress.step("certificates") as step:
            made = pki.ensure(state, known.node, known.node_ip)
            step.note(f"made {', '.join(made)}" if made else "all valid")
            kubeconfigs.write_all(state)
        with progress.step("supervisor") as step:
            step.note(f"process {start_supervisor(state)}")
    with progress.step("images") as step:
        step.note("built" if images.ensure(engine) else "present")
    _wait_well(state, known, progress, time.monotonic() + seconds)
    with progress.step("kubeconfig") as step:
        known = record.update(state, known, **kubeconfigs.merge(state, known))
        step.note(f"context mini-minishift selected in {known.kubeconfig}")


def prepare(state: State, progress: Progress) -> None:
    """Install packages, start the engine and build the images, as a first ``up`` does."""
    packages.search_path()
    engine = Engine()
    running = lock.holder() is not None
    _prepare_machine(state, engine, progress, ours_runs=running)
    with progress.step("images") as step:
        step.note("built" if images.ensure(engine) else "present")


def _check_lock(state: State) -> bool:
    """Return True if this cluster's supervisor runs. Raises CannotStart if another cluster's does."""
    holder = lock.holder()
    if holder is None:
        return False
    if holder.state != str(state.root):
        raise CannotStart(
            f"a cluster of ours runs already, with its state in {holder.state}.\n"
            f"Stop it first: mini-minishift --state-dir {holder.state} stop"
        )
    return True


def _prepare_machine(state: State, engine: Engine, progress: Progress, *, ours_runs: bool) -> Process | None:
    """Check the machine and provide what is missing; return the engine's process if we started it."""
    with progress.step("preflight") as step:
        if not ours_runs and os.geteuid() == 0:
            leftovers.end_processes()  # Otherwise their ports would seem to be taken by somebody else.
        facts = preflight.gather(engine, ours_runs=ours_runs)
        findings = preflight.judge(facts)
        for finding in findings:
            if finding.level is preflight.Level.OK:
                step.note(finding.text)
    _show(findings, progress)
    if facts.missing_packages:
        with progress.step("packages") as step:
            packages.install(facts.missing_packages, state.logs / "packages.log")
            step.note(f"installed {' '.join(facts.missing_packages)}")
    started = None
    if engine.version() is None:
        with progress.step("Docker") as step:
            started = engines.start(engine, state.logs / "dockerd.log")
            step.note(f"engine {engine.version()} started")
    for problem in preflight.repair(facts):
        progress.line(f"    warning: {problem}")
    if facts.missing_packages:
        # Some checks, above all those of the kernel, need the programs that were only now installed.
        _show(preflight.judge(preflight.gather(engine, ours_runs=ours_runs)), progress)
    return started


def _show(findings: list[preflight.Finding], progress: Progress) -> None:
    failures = []
    for finding in findings:
        if finding.level is preflight.Level.FAILURE:
            failures.append(f"{finding.text}: {finding.remedy}")
        elif finding.level is not preflight.Level.OK:
            progress.line(f"    {finding.text}: {finding.remedy}")
    if failures:
        raise CannotStart("\n".join(failures))


def _remember(state: State, engine: Engine, started: Process | None) -> record.ClusterRecord:
    """Return the record of this cluster, with the engine's present addresses; it is created if there is none."""
    known = record.load(state) or record.ClusterRecord(record.new_id(), socket.gethostname().lower(), "", "")
    for folder in (state.root, state.logs, state.etcd, state.kubeconfigs, state.kubelet):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    changes: dict[str, str | int] = {"node_ip": engine.bridge_gateway(), "pod_cidr": engine.bridge_subnet()}
    if started is not None:
        changes |= {"docker_pid": started.pid, "docker_start": started.start}
    return record.update(state, known, **changes)


def start_supervisor(state: State) -> int:
    """Start the supervisor in a session of its own, so that it outlives this terminal; return its process id."""
    with (state.logs / "supervisor.log").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "cluster.supervisor", str(state.root)],
            cwd=REPOSITORY,
            env=environment(state),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    while lock.holder() is None:
        if process.poll() is not None:
            raise CannotStart(f"the supervisor ended at once: see {Path(state.logs, 'supervisor.log')}")
        time.sleep(0.005)
    return process.pid


def _wait_well(state: State, known: record.ClusterRecord, progress: Progress, deadline: float) -> None:
    # The API client takes 0.1 s to import, so that is done while the components start.
    from cluster import health

    api = health.client(state)
    table = components(state, known)
    waiting = [(component.name, [component]) for component in table[:2]] + [("other components", table[2:])]
    for name, group in waiting:
        with progress.step(name) as step:
            for component in group:
                health.wait_until(component.name, partial(health.probe, component, state, api), state, deadline)
            step.note("healthy")
    with progress.step(f"node {known.node} Ready"):
        health.wait_node_ready(api, known.node, state, deadline)
