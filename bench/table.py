"""The rows that are measured, with units and aims, and their rendering as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import NamedTuple


class BenchRow(NamedTuple):
    """What is measured, in ``unit``. The value should be at most ``aim``, or at least with ``rate``; 0: no aim."""

    title: str
    aim: float
    rate: bool = False
    unit: str = "s"


ROWS: dict[str, BenchRow] = {
    "start": BenchRow("start → node Ready, images and packages present", 3),
    "vip": BenchRow("apply RC and Service → the VIP answers", 1.0),
    "scale-2": BenchRow("scale 1 → 2 → both endpoints in the rules", 0.7),
    "scale-10": BenchRow("scale 2 → 10, in the rules", 3),
    "scale-1": BenchRow("scale 10 → 1, in the rules", 0.5),
    "heal": BenchRow("all pods deleted → the VIP answers again", 1.0),
    "namespace": BenchRow("delete the namespace, pods in it", 3),
    "memory": BenchRow("memory, all processes and etcd (PSS)", 250, unit="MB"),
    "memory-used": BenchRow("memory after two rounds of the API's rows (PSS)", 220, unit="MB"),
    "idle": BenchRow("idle processor use, of one core", 2, unit="%"),
    "get": BenchRow("GET one object, 16 connections", 4400, rate=True, unit="/s"),
    "get-account": BenchRow("GET with a ServiceAccount's token, 16 connections", 0, rate=True, unit="/s"),
    "list": BenchRow("LIST 500 objects of 1.2 KB, 4 connections", 400, rate=True, unit="/s"),
    "post": BenchRow("POST, 16 connections", 1100, rate=True, unit="/s"),
    "post-p99": BenchRow("POST, 16 connections: 99 % take at most", 0, unit="ms"),
    "write": BenchRow("POST, one connection: half of them take at most", 0, unit="ms"),
    "write-p99": BenchRow("POST, one connection: 99 % take at most", 0, unit="ms"),
    "fanout": BenchRow("POST → the last of 100 watchers has it, median", 0, unit="ms"),
    "fanout-p99": BenchRow("POST → the last of 100 watchers has it, 99 %", 0, unit="ms"),
    "floor-1": BenchRow("the floor: two containers created and started", 0),
    "floor-8": BenchRow("the floor: eight such pairs, side by side", 0),
}

Samples = Mapping[str, list[float]]  # row → the values of its runs, in the row's unit


def render(ours: Samples, peer: Samples) -> str:
    """Return a Markdown table of medians, with columns for the peer if there are samples of it."""
    head = ["", "median", "of", "aim", "holds"] + (["upstream", "upstream / ours"] if peer else [])
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for key, row in ROWS.items():
        if ours.get(key):
            lines.append("| " + " | ".join(_cells(row, ours[key], peer.get(key), bool(peer))) + " |")
    return "\n".join(lines)


def _cells(row: BenchRow, ours: list[float], peer: list[float] | None, with_peer: bool) -> list[str]:
    value = median(ours)
    sign = "≥" if row.rate else "≤"
    aim = f"{sign} {row.aim:g} {row.unit}" if row.aim else ""
    holds = "" if not row.aim else "yes" if (value >= row.aim if row.rate else value <= row.aim) else "NO"
    cells = [row.title, figure(value, row.unit), str(len(ours)), aim, holds]
    if with_peer:
        cells += [figure(median(peer), row.unit), f"{median(peer) / value:.2f}"] if peer and value else ["", ""]
    return cells


def figure(value: float, unit: str) -> str:
    """Return a value with its unit, with two decimals if it is below 10, otherwise without."""
    return f"{value:.2f} {unit}" if value < 10 else f"{value:,.0f} {unit}"
