"""Write rules as text that iptables-restore reads: the only file that knows its syntax.

Each line is written exactly as iptables-save prints it back (the order of matches, quotes, rounded probabilities), so
that the golden tests show what a person sees in the kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from proxy.ruletypes import Chains, Dnat, Hook, Jump, Masquerade, Rule, SetMark, Target, Verdict


def transaction(
    table: str, chains: Chains, *, hooks: Iterable[Hook] = (), unhook: Sequence[str] = (), stale: Iterable[str] = ()
) -> str:
    """Return the input of ``iptables-restore --noflush`` for one table. The kernel applies all of it or nothing.

    It rewrites ``chains`` whole, inserts ``hooks`` as the first rules of the kernel's chains, deletes the rules
    ``unhook`` (lines as iptables-save prints them) and deletes the ``stale`` chains. Other chains stay as they are.
    """
    stale = sorted(stale)
    lines = [f"*{table}"]
    # Such a line creates a chain that does not exist and empties one that does. A stale chain must be empty, and no
    # rule may jump to it any more, before it can be deleted.
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
    """Return a chain's rules as iptables-save prints them."""
    return [f"-A {chain} {rule_text(rule)}" for rule in rules]


def rule_text(rule: Rule) -> str:
    """Return the matches and the target of a rule: all of its line but ``-A CHAIN``."""
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
    words += _address_types(rule)
    if rule.mark:
        words += ["-m", "mark", "--mark", f"{rule.mark:#x}/{rule.mark:#x}"]
    if rule.without_mark:
        words += ["-m", "mark", "!", "--mark", f"{rule.without_mark:#x}/{rule.without_mark:#x}"]
    words += _conntrack(rule)
    if rule.probability:
        words += ["-m", "statistic", "--mode", "random", "--probability", _probability(rule.probability)]
    return " ".join(words + _target(rule.target))


def _negatable(flag: str, value: str) -> list[str]:
    return ["!", flag, value[1:]] if value.startswith("!") else [flag, value]


def _address_types(rule: Rule) -> list[str]:
    if not (rule.source_type or rule.destination_type):
        return []
    words = ["-m", "addrtype"]
    if rule.source_type:
        words += ["--src-type", rule.source_type]
    if rule.destination_type:
        words += ["--dst-type", rule.destination_type]
    return words


def _conntrack(rule: Rule) -> list[str]:
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


def _probability(value: float) -> str:
    """Return the probability as the kernel keeps it, in units of 2^-31."""
    return f"{round(value * 2**31) / 2**31:.11f}"


def _quoted(text: str) -> str:
    if re.fullmatch(r"[-0-9A-Za-z_]+", text):
        return text
    return '"' + re.sub(r"""(["'\\])""", r"\\\1", text) + '"'
