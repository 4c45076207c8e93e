"""Measure the running cluster against the aims, beside what Docker alone takes and what upstream takes.

The cluster of ``make up`` must run; it is stopped and started for the first row and keeps its objects. Another cluster
cannot run at the same time, since both use the same iptables chains; so its samples are saved with ``--save`` and
shown beside ours with ``--peer``. Times are in seconds or milliseconds, rates in requests a second, memory in MB (PSS).

``--alone`` (``make apibench``) measures only the API's rows, on an etcd and an API server of its own. It needs neither
cluster nor Docker nor root.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import click

from bench import alone, api, floor, resources, table, walk
from cluster import lock
from cluster.settings import SANDBOX_IMAGE, SISE_IMAGE, default_state

COMMAND = [sys.executable, "-m", "cluster"]


@click.command(help=__doc__)
@click.option("--runs", default=3, show_default=True, help="How often each walk-through row is measured.")
@click.option("--rows", default="", help="Only these rows, separated by commas: " + ", ".join(table.ROWS))
@click.option("--alone", "by_itself", is_flag=True, help="Only the API's rows, on an API server and etcd of its own.")
@click.option("--kubeconfig", default="", help="Measure this cluster instead of ours (no 'start' row).")
@click.option("--token", default="", help="Bearer token of that cluster for the API rows.")
@click.option("--pids", type=click.File(), help="File with the process ids of that cluster, one a line.")
@click.option("--image", default=SISE_IMAGE, show_default=True, help="Image of the echo app.")
@click.option("--save", type=click.Path(path_type=Path), help="Write the samples to this file as JSON.")
@click.option("--peer", type=click.File(), help="Samples saved from another cluster, to show beside.")
def main(  # noqa: PLR0913 - click passes each option by itself
    runs: int,
    rows: str,
    by_itself: bool,
    kubeconfig: str,
    token: str,
    pids: IO[str] | None,
    image: str,
    save: Path | None,
    peer: IO[str] | None,
) -> None:
    ours = not kubeconfig
    wanted = set(rows.split(",")) if rows else set(table.ROWS)
    unknown = wanted - set(table.ROWS)
    if unknown:
        raise click.BadParameter(f"no such row: {', '.join(sorted(unknown))}", param_hint="--rows")
    require_tools(by_itself)
    if by_itself:
        found = measure_alone(wanted, runs)
    else:
        if ours:
            kubeconfig, token = own_access()
        found = measure(wanted, runs, kubeconfig, token, image, pids, ours)
    samples: dict[str, list[float]] = defaultdict(list)
    for row, value in found:
        click.echo(f"  {table.ROWS[row].title}: {table.figure(value, table.ROWS[row].unit)}", err=True)
        samples[row].append(value)
    if save:
        save.write_text(json.dumps(samples))
    click.echo(table.render(samples, json.load(peer) if peer else {}))


def measure(
    wanted: set[str],
    runs: int,
    kubeconfig: str,
    token: str,
    image: str,
    pids: IO[str] | None,
    ours: bool,
) -> Iterator[tuple[str, float]]:
    """Yield (row, value in the row's unit) as they are measured; first the idle ones, before the cluster has work."""
    if "start" in wanted and ours:
        for _ in range(runs):
            yield "start", restart()
    roots = [lock_pid()] if ours else [int(line) for line in pids or ()]
    if wanted & {"memory", "idle"}:
        processes = resources.family(roots)
        if processes:
            yield "idle", resources.idle_percent(processes)
            yield "memory", resources.pss_megabytes(processes)
    for _ in range(runs):
        if "floor-1" in wanted:
            yield "floor-1", floor.start_pods(1, SANDBOX_IMAGE, image)
        if wanted & {"vip", "scale-2", "scale-10", "scale-1", "heal", "namespace"}:
            for row, seconds in walk.steps(walk.MeasuredCluster("kubectl", kubeconfig, image)):
                if row in wanted:
                    yield row, seconds
        if "floor-8" in wanted:
            yield "floor-8", floor.start_pods(8, SANDBOX_IMAGE, image)
    if wanted & (api.ROWS | {"memory-used"}):
        server, _ = api.parse(kubeconfig)
        yield from api.measure(server, token, wanted)
    if "memory-used" in wanted:
        yield from memory_used(roots)


def measure_alone(wanted: set[str], runs: int) -> Iterator[tuple[str, float]]:
    """Yield (row, value) of the rows that need no node."""
    for _ in range(runs):
        with alone.servers() as started:
            yield from api.measure(started.server, started.token, wanted)
            if "memory-used" in wanted:
                yield from memory_used(started.pids)


def memory_used(roots: Iterable[int]) -> Iterator[tuple[str, float]]:
    """Yield the row of the memory after use; nothing if no process is known."""
    if processes := resources.family(roots):
        yield "memory-used", resources.pss_megabytes(processes)


def restart() -> float:
    """Stop the cluster; return the seconds that ``up`` then takes until the node is Ready."""
    subprocess.run([*COMMAND, "stop"], check=True, stdout=subprocess.DEVNULL)
    start = time.monotonic()
    subprocess.run([*COMMAND, "up"], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def lock_pid() -> int:
    """Return the process id of the running cluster's supervisor. Raises ClickException if there is no cluster."""
    holder = lock.holder()
    if holder is None:
        raise click.ClickException("no cluster of ours is running; start it with: make up")
    return holder.supervisor.pid


def own_access() -> tuple[str, str]:
    """Return kubeconfig path and administrator's token of the cluster of ``make up``."""
    lock_pid()
    state = default_state()
    return str(state.kubeconfig), state.tokens.read_text().split(",", 1)[0]


def require_tools(by_itself: bool) -> None:
    """Raise ClickException, with what to do, if a tool or a right that the measurement needs is missing."""
    if os.geteuid() != 0 and not by_itself:
        raise click.ClickException("the kernel's rules are root's to read; run it with sudo")
    for tool in ("wrk", "etcd") if by_itself else ("wrk", "kubectl", "iptables-save"):
        if shutil.which(tool) is None:
            raise click.ClickException(f"{tool} is missing; install it, on Debian with: apt-get install {tool}")


if __name__ == "__main__":
    main()
