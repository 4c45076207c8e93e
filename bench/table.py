"""The rows that are measured, what upstream reached on two cores, and what is aimed at; and their rendering."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import NamedTuple


class Row(NamedTuple):
    """``aim`` is a limit: at most so many seconds (MB, %), or with ``rate`` at least so many requests a second."""

    title: str
    aim: float
    rate: bool = False
    unit: str = "s"


ROWS: dict[str, Row] = {
    "start": Row("start → node Ready, images and packages present", 3),
    "vip": Row("apply RC and Service → the VIP answers", 1.0),
    "scale-2": Row("scale 1 → 2 → both endpoints in the rules", 0.7),
    "scale-10": Row("scale 2 → 10, in the rules", 3),
    "scale-1": Row("scale 10 → 1, in the rules", 0.5),
    "heal": Row("all pods deleted → the VIP answers again", 1.0),
    "namespace": Row("delete the namespace, pods in it", 3),
    "memory": Row("memory, all processes and etcd (PSS)", 250, unit="MB"),
    "idle": Row("idle processor use, of one core", 2, unit="%"),
    "get": Row("GET one object, 16 connections", 4400, rate=True, unit="/s"),
    "list": Row("LIST 500 objects of 1.2 KB, 4 connections", 400, rate=True, unit="/s"),
    "post": Row("POST, 16 connections", 1100, rate=True, unit="/s"),
    "write": Row("POST, one connection: half of them take at most", 0, unit="ms"),
    "write-p99": Row("POST, one connection: 99 % take at most", 0, unit="ms"),
    "fanout": Row("POST → the last of 100 watchers has it, median", 0, unit="ms"),
    "fanout-p99": Row("POST → the last of 100 watchers has it, 99 %", 0, unit="ms"),
    "floor-1": Row("the floor: two containers created and started", 0),
    "floor-8": Row("the floor: eight such pairs, side by side", 0),
}

Samples = Mapping[str, list[float]]


def render(ours: Samples, peer: Samples) -> str:
    """A Markdown table of medians; the peer's columns only when it was measured too."""
    head = ["", "median", "of", "aim", "holds"] + (["upstream", "upstream / ours"] if peer else [])
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for key, row in ROWS.items():
        if ours.get(key):
            lines.append("| " + " | ".join(_cells(row, ours[key], peer.get(key), bool(peer))) + " |")
    return "\n".join(lines)


def _cells(row: Row, ours: list[float], peer: list[float] | None, with_peer: bool) -> list[str]:
    value = median(ours)
    sign = "≥" if row.rate else "≤"
    aim = f"{sign} {row.aim:g} {row.unit}" if row.aim else ""
    holds = "" if not row.aim else "yes" if (value >= row.aim if row.rate else value <= row.aim) else "NO"
    cells = [row.title, figure(value, row.unit), str(len(ours)), aim, holds]
    if with_peer:
        cells += [figure(median(peer), row.unit), f"{median(peer) / value:.2f}"] if peer and value else ["", ""]
    return cells


def figure(value: float, unit: str) -> str:
    """Three significant digits at most, with the unit."""
    return f"{value:.2f} {unit}" if value < 10 else f"{value:,.0f} {unit}"
