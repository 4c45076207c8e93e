"""What the kernel holds of ours, read from iptables-save: chain names, how many rules each has, and the hooks.

Rules are never parsed back; counting them is enough to notice that somebody flushed or deleted some.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from proxy.rules import (
    EXTERNAL_SERVICES,
    FIREWALL,
    FORWARD,
    MARK_MASQ,
    NODE_PORTS,
    POSTROUTING,
    PREFIXES,
    PROXY_FIREWALL,
    SERVICES,
    Hook,
    Jump,
    Table,
)

_FIXED = frozenset({SERVICES, EXTERNAL_SERVICES, NODE_PORTS, POSTROUTING, MARK_MASQ, FORWARD, FIREWALL, PROXY_FIREWALL})


def is_ours(chain: str) -> bool:
    return chain in _FIXED or chain.startswith(PREFIXES)


@dataclass
class Seen:
    """Our part of one table of the kernel, and the kernel's own chains as lines of iptables-save."""

    chains: dict[str, int] = field(default_factory=dict)  # our chains: how many rules
    builtin: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, saved: str) -> Seen:
        seen = cls()
        for line in saved.splitlines():
            if line.startswith(":"):
                chain, policy = line[1:].split()[:2]
                if policy != "-":
                    seen.builtin[chain] = []
                elif is_ours(chain):
                    seen.chains[chain] = 0
            elif line.startswith("-A "):
                chain = line.split(" ", 2)[1]
                if chain in seen.chains:
                    seen.chains[chain] += 1
                elif chain in seen.builtin:
                    seen.builtin[chain].append(line)
        return seen

    def stale(self, table: Table) -> list[str]:
        """Chains of Services and endpoints that are no more."""
        return sorted(chain for chain in self.chains if chain not in table.chains and chain.startswith(PREFIXES))

    def misplaced(self, table: Table) -> tuple[list[Hook], list[str]]:
        """The hooks to put in, and the lines to take out first, so that ours are the first of their chains."""
        hooks: list[Hook] = []
        lines: list[str] = []
        for chain in dict.fromkeys(hook.chain for hook in table.hooks):
            wanted = [hook for hook in table.hooks if hook.chain == chain]
            there = self.builtin.get(chain, [])
            if [_target(line) for line in there[: len(wanted)]] == list(_chains_of(wanted)):
                continue
            hooks += wanted
            lines += [line for line in there if is_ours(_target(line))]
        return hooks, lines

    def hook_lines(self) -> list[str]:
        """Every line that leads from the kernel's chains into ours."""
        return [line for lines in self.builtin.values() for line in lines if is_ours(_target(line))]

    def differs(self, table: Table) -> str:
        """In words what is not as it should be; empty if all is well."""
        missing = [chain for chain in table.chains if chain not in self.chains]
        if missing:
            return f"chain {missing[0]} of table {table.name} is gone"
        for chain, rules in table.chains.items():
            if self.chains[chain] != len(rules):
                return f"chain {chain} of table {table.name} has {self.chains[chain]} rules instead of {len(rules)}"
        hooks, _ = self.misplaced(table)
        if hooks:
            return f"chain {hooks[0].chain} of table {table.name} does not lead to ours first"
        return ""


def _chains_of(hooks: Iterable[Hook]) -> Iterable[str]:
    for hook in hooks:
        assert isinstance(hook.rule.target, Jump)
        yield hook.rule.target.chain


def _target(line: str) -> str:
    words = line.split()
    return words[words.index("-j") + 1] if "-j" in words[:-1] else ""
