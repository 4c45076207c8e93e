"""The command ``status``: what runs, since when, whether it is healthy, and how much memory it uses.

``collect`` asks, ``render`` (no I/O) writes. The cluster is well if the supervisor and every component run and are
healthy, and the node is Ready.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from cluster import health, kubeconfigs, lock, record, table
from cluster.components import components
from cluster.docker import Engine, EngineError
from cluster.processes import children_of, started_at
from cluster.settings import CLUSTER_LABEL, CONTEXT, State
from machinery import errors, objects
from machinery.client import Client
from machinery.proc import memory
from machinery.resources import NODES, PODS


class Part(NamedTuple):
    name: str
    pid: int
    since: float
    restarts: int
    last_end: str
    memory: int  # bytes, with its child processes
    trouble: str  # why it is not healthy; empty if it is


class Report(NamedTuple):
    parts: list[Part]
    version: str = ""
    node: str = ""
    node_ready: bool = False
    docker: str = ""
    pods: int = 0
    pods_ready: int = 0
    containers: int = 0

    @property
    def well(self) -> bool:
        return bool(self.parts) and not any(part.trouble for part in self.parts) and self.node_ready


def collect(state: State) -> Report | None:
    """Return the state of the cluster; None if there is none, a report without parts if it is stopped."""
    known = record.load(state)
    if known is None:
        return None
    holder = lock.holder()
    if holder is None or holder.state != str(state.root):
        return Report([], node=known.node)
    api = health.client(state)
    supervisor = holder.supervisor
    parts = [Part("supervisor", supervisor.pid, started_at(supervisor), 0, "", memory(supervisor.pid), "")]
    probes = {component.name: component for component in components(state, known)}
    for row in table.read(state):
        trouble = (
            health.probe(probes[row.name], state, api)
            if row.runs
            else ", ".join(filter(None, ["not running", row.last_end]))
        )
        total = sum(memory(pid) for pid in children_of([row.pid])) if row.runs else 0
        parts.append(Part(row.name, row.pid, row.since, row.restarts, row.last_end, total, trouble))
    report = Report(parts, node=known.node)
    return _ask_docker(_ask_api(report, api), known.id)


def _ask_api(report: Report, api: Client) -> Report:
    try:
        version = json.loads(api.raw("/version"))["gitVersion"]
        nodes = api.list(NODES, field_selector=f"metadata.name={report.node}")["items"]
        pods = api.list(PODS)["items"]
    except errors.ApiError:
        return report  # The line of the API server shows what is wrong.
    return report._replace(
        version=version,
        node_ready=any(health.node_ready(node) for node in nodes),
        pods=len(pods),
        pods_ready=sum(objects.is_pod_ready(pod) for pod in pods),
    )


def _ask_docker(report: Report, cluster_id: str) -> Report:
    engine = Engine()
    try:
        found = engine.containers(f"{CLUSTER_LABEL}={cluster_id}", running_only=True)
        return report._replace(docker=engine.version() or "", containers=len(found))
    except EngineError:
        return report


def render(report: Report, state: State, now: float) -> str:
    """Return the report as text for the user."""
    if not report.parts:
        return f"mini-Minishift is stopped; its state is in {state.root}. Start it with: make up"
    lines = [f"{'':<2}{'COMPONENT':<13}{'HEALTH':<11}{'SINCE':<8}{'MEMORY':>8}  {'PID':<8}RESTARTS"]
    for part in report.parts:
        mark = "healthy" if not part.trouble else "TROUBLE"
        age = duration(now - part.since) if part.pid else "-"
        restarts = f"{part.restarts} (it {part.last_end})" if part.restarts else "0"
        size = f"{part.memory / 1e6:.0f} MB"
        lines.append(f"  {part.name:<13}{mark:<11}{age:<8}{size:>8}  {part.pid or '-':<8}{restarts}")
        if part.trouble:
            lines.append(f"    {_gist(part.trouble)}: make logs C={part.name}")
    total = sum(part.memory for part in report.parts) / 1e6
    docker = report.docker or "does not answer"
    pods = f"{report.pods_ready} of {report.pods}"
    ready = "Ready" if report.node_ready else "NOT Ready"
    lines += [
        "",
        f"  Kubernetes {report.version or '?'}, Docker {docker}, {total:.0f} MB in all",
        f"  node {report.node} {ready}, {pods} pods ready, {report.containers} containers",
        f"  API {kubeconfigs.SERVER}, kubeconfig {state.kubeconfig}, context {CONTEXT}",
    ]
    headline = "mini-Minishift is well" if report.well else "mini-Minishift is NOT well"
    return "\n".join([headline, *lines])


def _gist(trouble: str) -> str:
    """Return one line of a problem: of the API server's list of checks, the first that failed."""
    lines = trouble.splitlines()
    return next((line for line in lines if line.startswith("[-]")), lines[0])


def duration(seconds: float) -> str:
    """Return a duration as kubectl prints ages: at most the two largest units."""
    whole = int(seconds)
    for size, unit, smaller, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size}{unit}" + (f"{rest}{name}" if rest else "")
    return f"{whole}s"
