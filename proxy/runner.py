"""Runs iptables: the only module of the proxy that starts processes for rules.

``Iptables`` works with either backend (nf_tables or legacy), whichever the commands on this machine are.
Tests give the sync loop a fake with the same two methods.
"""

from __future__ import annotations

import subprocess
from collections import deque
from pathlib import Path
from typing import Protocol

TIMEOUT = 30.0
LOCK_SECONDS = 5  # how long legacy iptables may wait for others that hold its lock


class RuleError(Exception):
    """iptables refused; the text holds what it said."""


class RuleRunner(Protocol):
    """What the sync loop needs of iptables."""

    def save(self, table: str) -> str:
        """The table as iptables-save prints it."""
        ...

    def restore(self, transaction: str) -> None:
        """Applies a transaction without touching what it does not name; raises RuleError."""
        ...


class Iptables:
    """The iptables commands, plain ones or those of one backend (``iptables-legacy``)."""

    def __init__(self, command: str = "iptables") -> None:
        self._command = command
        self._own: deque[int] = deque(maxlen=32)

    def save(self, table: str) -> str:
        return self._run([f"{self._command}-save", "-t", table])

    def restore(self, transaction: str) -> None:
        self._run([f"{self._command}-restore", "--noflush", "-w", str(LOCK_SECONDS)], transaction)

    @property
    def version(self) -> str:
        """E.g. ``iptables v1.8.9 (nf_tables)``."""
        return self._run([self._command, "--version"]).strip()

    @property
    def announces_changes(self) -> bool:
        """The kernel tells of changes through netlink; for legacy tables it does not."""
        return "nf_tables" in self.version

    def was_own(self, process: int) -> bool:
        """One of the last processes started here has this number."""
        return process in self._own

    def _run(self, arguments: list[str], text: str | None = None) -> str:
        try:
            with subprocess.Popen(
                arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as process:
                self._own.append(process.pid)
                try:
                    output, problem = process.communicate(text or "", TIMEOUT)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise RuleError(f"{arguments[0]} did not end within {TIMEOUT:.0f} s") from None
        except FileNotFoundError:
            raise RuleError(f"there is no {arguments[0]}; install it with: apt-get install iptables") from None
        if process.returncode != 0:
            raise RuleError(f"{' '.join(arguments)} failed ({process.returncode}): {_told(problem, text)}")
        return output


def _told(problem: str, text: str | None) -> str:
    """What iptables said, and the line of our text that it means."""
    problem = problem.strip()
    for word in problem.replace(":", " ").replace(".", " ").split():
        lines = (text or "").splitlines()
        if word.isdigit() and "line" in problem and 0 < int(word) <= len(lines):
            return f"{problem} — {lines[int(word) - 1]}"
    return problem


def installed_backends() -> list[Iptables]:
    """Every backend that may hold rules: cleaning up looks into all of them.

    The legacy commands create their tables by being looked at, so they are left alone where the kernel has none.
    """
    names = Path("/proc/net/ip_tables_names")
    legacy_in_use = names.exists() and bool(names.read_text().strip())
    commands = ["iptables-nft", *(["iptables-legacy"] if legacy_in_use else [])]
    found = [Iptables(command) for command in commands if _exists(f"{command}-save")]
    return found or [Iptables()]


def _exists(command: str) -> bool:
    return any(Path(folder, command).exists() for folder in ("/usr/sbin", "/sbin", "/usr/bin", "/usr/local/sbin"))
