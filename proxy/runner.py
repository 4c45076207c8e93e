"""Run iptables-save and iptables-restore: the only file that starts processes for rules.

``Iptables`` works with either backend of iptables: nf_tables, or the legacy tables. Tests use a fake instead that has
the same two methods (``RuleRunner``).
"""

from __future__ import annotations

import subprocess
from collections import deque
from pathlib import Path
from typing import Protocol

TIMEOUT = 30.0  # seconds
LOCK_SECONDS = 5  # how long legacy iptables may wait for others that hold its lock


class RuleError(Exception):
    """iptables failed. The text says which command, and holds its output."""


class RuleRunner(Protocol):
    """What the proxy needs of iptables."""

    def save(self, table: str) -> str:
        """Return the table as iptables-save prints it."""
        ...

    def restore(self, transaction: str) -> None:
        """Apply a transaction (``render.transaction``) and leave alone what it does not name. Raises RuleError."""
        ...


class Iptables:
    """The commands of the machine's default backend, or of the one that ``command`` names (``iptables-legacy``)."""

    def __init__(self, command: str = "iptables") -> None:
        self._command = command
        self._own_processes: deque[int] = deque(maxlen=32)

    def save(self, table: str) -> str:
        return self._run([f"{self._command}-save", "-t", table])

    def restore(self, transaction: str) -> None:
        self._run([f"{self._command}-restore", "--noflush", "-w", str(LOCK_SECONDS)], transaction)

    @property
    def version(self) -> str:
        """The version and the backend, e.g. ``iptables v1.8.9 (nf_tables)``."""
        return self._run([self._command, "--version"]).strip()

    @property
    def has_change_messages(self) -> bool:
        """Whether the kernel sends messages about changes (``monitor.py``), which it does not for legacy tables."""
        return "nf_tables" in self.version

    def was_own(self, process: int) -> bool:
        """Return whether this is the id of one of the last processes started here."""
        return process in self._own_processes

    def _run(self, arguments: list[str], text: str | None = None) -> str:
        try:
            with subprocess.Popen(
                arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as process:
                self._own_processes.append(process.pid)
                try:
                    output, problem = process.communicate(text or "", TIMEOUT)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise RuleError(f"{arguments[0]} did not end within {TIMEOUT:.0f} s") from None
        except FileNotFoundError:
            raise RuleError(f"there is no {arguments[0]}; install it with: apt-get install iptables") from None
        if process.returncode != 0:
            raise RuleError(f"{' '.join(arguments)} failed ({process.returncode}): {_explain(problem, text)}")
        return output


def _explain(problem: str, text: str | None) -> str:
    """Return what iptables printed, with the line of its input that it names by number."""
    problem = problem.strip()
    for word in problem.replace(":", " ").replace(".", " ").split():
        lines = (text or "").splitlines()
        if word.isdigit() and "line" in problem and 0 < int(word) <= len(lines):
            return f"{problem} — {lines[int(word) - 1]}"
    return problem


def installed_backends() -> list[Iptables]:
    """Return every backend that may hold rules of ours, whichever is the machine's default now.

    The legacy commands create the tables that they read, so they are not used where the kernel has no such tables.
    """
    names = Path("/proc/net/ip_tables_names")
    legacy_in_use = names.exists() and bool(names.read_text().strip())
    commands = ["iptables-nft", *(["iptables-legacy"] if legacy_in_use else [])]
    found = [Iptables(command) for command in commands if _exists(f"{command}-save")]
    return found or [Iptables()]


def _exists(command: str) -> bool:
    return any(Path(folder, command).exists() for folder in ("/usr/sbin", "/sbin", "/usr/bin", "/usr/local/sbin"))
