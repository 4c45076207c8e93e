"""The only place that knows iptables-restore's syntax: rules become lines, changes become one transaction.

A line is written exactly as iptables-save prints it back (order of matches, quoting, rounded
probabilities), so that what a person sees is what stands here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from proxy.rules import Chains, Dnat, Hook, Jump, Masquerade, Rule, SetMark, Target, Verdict


def transaction(
    table: str, chains: Chains, *, hooks: Iterable[Hook] = (), unhook: Sequence[str] = (), stale: Iterable[str] = ()
) -> str:
    """Rewrites ``chains`` whole, puts ``hooks`` first into the kernel's chains, takes out ``unhook`` (lines of
    iptables-save) and deletes the ``stale`` chains, all or nothing. Chains that are not named stay as they are."""
    stale = sorted(stale)
    lines = [f"*{table}"]
    # Declaring a chain makes it if need be, and empties it.
    lines += [f":{chain} - [0:0]" for chain in [*chains, *stale]]
    lines += [f"-D {line.removeprefix('-A ')}" for line in unhook]
    places: dict[str, int] = {}
    for hook in hooks:
        places[hook.chain] = places.get(hook.chain, 0) + 1
        lines.append(f"-I {hook.chain} {places[hook.chain]} {rule_text(hook.rule)}")
    for chain, rules in chains.items():
        lines += chain_lines(chain, rules)
    lines += [f"-X {chain}" for chain in stale]
    lines.append("COMMIT")
    return "\n".join(lines) + "\n"


def chain_lines(chain: str, rules: Iterable[Rule]) -> list[str]:
    """A chain's rules as iptables-save prints them."""
    return [f"-A {chain} {rule_text(rule)}" for rule in rules]


def hook_line(hook: Hook) -> str:
    """A hook as iptables-save prints it."""
    return f"-A {hook.chain} {rule_text(hook.rule)}"


def rule_text(rule: Rule) -> str:
    """Everything of a line but the chain."""
    words: list[str] = []
    if rule.source:
        words += _negatable("-s", rule.source)
    if rule.destination:
        words += _negatable("-d", rule.destination)
    if rule.interface:
        words += _negatable("-i", rule.interface) + _negatable("-o", rule.interface)
    if rule.protocol:
        words += ["-p", rule.protocol]
    if rule.comment:
        words += ["-m", "comment", "--comment", _quoted(rule.comment)]
    if rule.recent:
        words += ["-m", "recent"]
        if rule.recent.seconds:
            words += ["--rcheck", "--seconds", str(rule.recent.seconds), "--reap"]
        else:
            words += ["--set"]
        words += ["--name", rule.recent.list, "--mask", "255.255.255.255", "--rsource"]
    if rule.protocol:
        words += ["-m", rule.protocol]
    if rule.destination_port:
        words += ["--dport", str(rule.destination_port)]
    words += _types(rule)
    if rule.mark:
        words += ["-m", "mark", "--mark", f"{rule.mark:#x}/{rule.mark:#x}"]
    if rule.without_mark:
        words += ["-m", "mark", "!", "--mark", f"{rule.without_mark:#x}/{rule.without_mark:#x}"]
    words += _connection(rule)
    if rule.probability:
        words += ["-m", "statistic", "--mode", "random", "--probability", _probability(rule.probability)]
    return " ".join(words + _target(rule.target))


def _negatable(flag: str, value: str) -> list[str]:
    return ["!", flag, value[1:]] if value.startswith("!") else [flag, value]


def _types(rule: Rule) -> list[str]:
    if not (rule.source_type or rule.destination_type):
        return []
    words = ["-m", "addrtype"]
    if rule.source_type:
        words += ["--src-type", rule.source_type]
    if rule.destination_type:
        words += ["--dst-type", rule.destination_type]
    return words


def _connection(rule: Rule) -> list[str]:
    if not (rule.states or rule.original_destination):
        return []
    words = ["-m", "conntrack"]
    if rule.states:
        states = ",".join(rule.states)
        words += ["!", "--ctstate", states[1:]] if states.startswith("!") else ["--ctstate", states]
    if rule.original_destination:
        words += ["--ctorigdst", rule.original_destination]
    return words


def _target(target: Target) -> list[str]:
    match target:
        case Jump(chain):
            return ["-j", chain]
        case Verdict("REJECT"):
            return ["-j", "REJECT", "--reject-with", "icmp-port-unreachable"]
        case Verdict(name):
            return ["-j", name]
        case Dnat(destination):
            return ["-j", "DNAT", "--to-destination", destination]
        case SetMark(bit, xor=True):
            return ["-j", "MARK", "--set-xmark", f"{bit:#x}/0x0"]
        case SetMark(bit):
            return ["-j", "MARK", "--set-xmark", f"{bit:#x}/{bit:#x}"]
        case Masquerade():
            return ["-j", "MASQUERADE", "--random-fully"]


def _probability(share: float) -> str:
    """The kernel counts in units of 2^-31."""
    return f"{round(share * 2**31) / 2**31:.11f}"


def _quoted(text: str) -> str:
    if re.fullmatch(r"[-0-9A-Za-z_]+", text):
        return text
    return '"' + re.sub(r"""(["'\\])""", r"\\\1", text) + '"'
