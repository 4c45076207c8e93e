"""Parse transcripts, which are commands with the output that they must print, and compare outputs with them.

The comments at the top of walkthrough.txt describe the format. Nothing here runs a command; play.py does.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import re
from typing import NamedTuple

# What a placeholder matches, by the letters that its name begins with: ``<pod1>`` and ``<pod2>`` match names of pods.
PATTERNS = {
    "pod": r"sise-[bcdfghjklmnpqrstvwxz2456789]{5}",
    "ip": r"172\.17\.\d+\.\d+",
    "age": r"\d+[smhd]\S*",
    "hits": r"(?:[7-9]\d|1[0-2]\d|130)",
    "chain": r"KUBE-SEP-[A-Z2-7]{16}",
}
DISTINCT = ("pod", "ip", "chain")  # two placeholders of these never have the same value
VARYING = ("age",)  # such a placeholder may match something else each time
PLACEHOLDER = re.compile(r"<([a-z]+)(\w*)(?::(\w+))?>")

Values = dict[str, str]  # placeholder → what it has matched


class Step(NamedTuple):
    heading: str  # prose before the command, often empty
    command: str
    expected: list[str]
    any_order: bool
    seconds: float  # for how long to repeat the command until its output matches; 0: run it once


def parse(text: str) -> list[Step]:
    steps: list[Step] = []
    heading: list[str] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            steps.append(_command(line[2:], "\n".join(heading)))
            heading = []
        elif line == "#" or line.startswith("# "):
            continue
        elif line.startswith("##") or (line and _ended(steps, heading)):
            heading.append(line)
        elif line:
            steps[-1].expected.append(line)
        elif steps and not heading:
            heading.append("")  # a blank line ends the output; what follows is prose
    return [step._replace(heading=step.heading.strip()) for step in steps]


def _ended(steps: list[Step], heading: list[str]) -> bool:
    return not steps or bool(heading)


def _command(text: str, heading: str) -> Step:
    any_order, seconds = False, 0.0
    while option := re.match(r"\((any order|within (\d+) s)\) ", text):
        any_order = any_order or option[1] == "any order"
        seconds = float(option[2] or seconds)
        text = text[option.end() :]
    return Step(heading, text, [], any_order, seconds)


def endpoint_chain(address: str) -> str:
    """Return the name of the proxy's chain for an endpoint of the article's Service (``ServicePort.chain``)."""
    text = f"namingthings/simpleservice:tcp{address}:9876"
    return "KUBE-SEP-" + base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:16]


def fill(text: str, values: Values) -> str:
    """Replace the placeholders whose values are known."""

    def value(found: re.Match[str]) -> str:
        if found[1] == "sep" and found[3] in values:
            return endpoint_chain(values[found[3]])
        return values.get(found[1] + found[2], found[0])

    return PLACEHOLDER.sub(value, text)


def match(step: Step, output: str, values: Values) -> Values | None:
    """Return the values with those that this output adds, None if it is not the expected output."""
    wanted = [_squeeze(line) for line in step.expected]
    found = [squeezed for line in output.splitlines() if (squeezed := _squeeze(line))]
    return _match_set(wanted, found, values) if step.any_order else _match_lines(wanted, found, values)


def _match_lines(wanted: list[str], found: list[str], values: Values) -> Values | None:
    if not wanted:
        return None if found else values
    if wanted[0] == "...":
        tries = (_match_lines(wanted[1:], found[skipped:], values) for skipped in range(len(found) + 1))
        return next((result for result in tries if result is not None), None)
    if not found:
        return None
    more = _match_line(wanted[0], found[0], values)
    return None if more is None else _match_lines(wanted[1:], found[1:], more)


def _match_set(wanted: list[str], found: list[str], values: Values) -> Values | None:
    if len(wanted) != len(found):
        return None
    if not wanted:
        return values
    for index, line in enumerate(found):
        more = _match_line(wanted[0], line, values)
        if more is not None:
            result = _match_set(wanted[1:], found[:index] + found[index + 1 :], more)
            if result is not None:
                return result
    return None


def _match_line(wanted: str, line: str, values: Values) -> Values | None:
    names: list[str] = []
    expression = ""
    position = 0
    filled = fill(wanted, values)
    for found in PLACEHOLDER.finditer(filled):
        if found[1] not in PATTERNS:
            continue  # <none> and <unset> are kubectl's, not placeholders
        name = found[1] + found[2]
        expression += re.escape(filled[position : found.start()])
        expression += f"(?P={name})" if name in names else f"(?P<{name}>{PATTERNS[found[1]]})"
        names.append(name)
        position = found.end()
    matched = re.fullmatch(expression + re.escape(filled[position:]), line)
    if matched is None:
        return None
    result = dict(values)
    for name, value in matched.groupdict().items():
        kind = next(kind for kind in PATTERNS if name.startswith(kind))
        if kind in DISTINCT and any(known.startswith(kind) and result[known] == value for known in result):
            return None
        if kind not in VARYING:
            result[name] = value
    return result


def difference(step: Step, output: str, values: Values) -> str:
    """Return expected and printed output as a diff."""
    wanted = [_squeeze(fill(line, values)) for line in step.expected]
    found = [squeezed for line in output.splitlines() if (squeezed := _squeeze(line))]
    return "\n".join(difflib.unified_diff(wanted, found, "expected", "printed", lineterm="", n=99))


def _squeeze(line: str) -> str:
    return " ".join(line.split())
