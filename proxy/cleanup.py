"""Remove from the kernel everything that the proxy has put there: hooks, chains, sink device and route."""

from __future__ import annotations

import logging

from proxy import network
from proxy.kernel import KernelTable
from proxy.render import transaction
from proxy.runner import RuleRunner, installed_backends

log = logging.getLogger(__name__)

TABLES = ("nat", "filter")


def cleanup() -> None:
    """Remove everything, from every backend of iptables that may hold rules. Doing it twice does no harm."""
    for runner in installed_backends():
        remove_rules(runner)
    network.cleanup()


def remove_rules(runner: RuleRunner) -> None:
    """Delete our hooks and chains, and nothing else."""
    text = ""
    for table in TABLES:
        current = KernelTable.read(runner.save(table))
        hooks = current.hook_lines()
        if current.chains or hooks:
            text += transaction(table, {}, unhook=hooks, stale=current.chains)
            log.info("removing %d chains from table %s", len(current.chains), table)
    if text:
        runner.restore(text)
