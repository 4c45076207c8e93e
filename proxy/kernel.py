"""Read from iptables-save what the kernel has of ours: the names of chains, how many rules each has, and the hooks.

Rules are not parsed. Their number is enough to notice that somebody flushed a chain or deleted a rule, and then all
rules are written again; to compare the rules themselves would take a parser of iptables' whole syntax.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.chains import PREFIXES, is_ours
from proxy.ruletypes import Hook, Jump, RuleTable


@dataclass
class KernelTable:
    """One table as the kernel has it."""

    chains: dict[str, int] = field(default_factory=dict)  # our chains → the number of their rules
    builtin: dict[str, list[str]] = field(default_factory=dict)  # the kernel's own chains → lines of iptables-save

    @classmethod
    def read(cls, saved: str) -> KernelTable:
        """Return the table that iptables-save printed."""
        table = cls()
        for line in saved.splitlines():
            if line.startswith(":"):
                chain, policy = line[1:].split()[:2]
                if policy != "-":
                    table.builtin[chain] = []
                elif is_ours(chain):
                    table.chains[chain] = 0
            elif line.startswith("-A "):
                chain = line.split(" ", 2)[1]
                if chain in table.chains:
                    table.chains[chain] += 1
                elif chain in table.builtin:
                    table.builtin[chain].append(line)
        return table

    def stale_chains(self, wanted: RuleTable) -> list[str]:
        """Return the chains of Services and endpoints that exist no longer."""
        return sorted(chain for chain in self.chains if chain not in wanted.chains and chain.startswith(PREFIXES))

    def hook_changes(self, wanted: RuleTable) -> tuple[list[Hook], list[str]]:
        """Return the hooks to insert and the lines to delete before, so that ours are the first rules of their chains.

        Both are empty if all hooks are in place. A chain with one hook out of place gets all of its hooks anew.
        """
        hooks: list[Hook] = []
        lines: list[str] = []
        for chain in dict.fromkeys(hook.chain for hook in wanted.hooks):
            expected = [hook for hook in wanted.hooks if hook.chain == chain]
            present = self.builtin.get(chain, [])
            if [_target(line) for line in present[: len(expected)]] == [_jump_chain(hook) for hook in expected]:
                continue
            hooks += expected
            lines += [line for line in present if is_ours(_target(line))]
        return hooks, lines

    def hook_lines(self) -> list[str]:
        """Return every line by which one of the kernel's own chains leads into one of ours."""
        return [line for lines in self.builtin.values() for line in lines if is_ours(_target(line))]

    def difference(self, wanted: RuleTable) -> str:
        """Return in words the first thing that is not as wanted, or an empty text."""
        missing = [chain for chain in wanted.chains if chain not in self.chains]
        if missing:
            return f"chain {missing[0]} of table {wanted.name} is gone"
        for chain, rules in wanted.chains.items():
            if self.chains[chain] != len(rules):
                return f"chain {chain} of table {wanted.name} has {self.chains[chain]} rules instead of {len(rules)}"
        hooks, _ = self.hook_changes(wanted)
        if hooks:
            return f"chain {hooks[0].chain} of table {wanted.name} does not lead to ours first"
        return ""


def _jump_chain(hook: Hook) -> str:
    assert isinstance(hook.rule.target, Jump)
    return hook.rule.target.chain


def _target(line: str) -> str:
    words = line.split()
    return words[words.index("-j") + 1] if "-j" in words[:-1] else ""
