"""Takes everything of the proxy's out of the kernel again: hooks, chains, sink device, route. Idempotent."""

from __future__ import annotations

import logging

from proxy import network
from proxy.kernel import Seen
from proxy.render import transaction
from proxy.runner import RuleRunner, installed_backends

log = logging.getLogger(__name__)

TABLES = ("nat", "filter")


def cleanup() -> None:
    """Everything, from every backend that may hold rules."""
    for runner in installed_backends():
        remove_rules(runner)
    network.cleanup()


def remove_rules(runner: RuleRunner) -> None:
    """Our hooks and chains; nothing else is touched."""
    text = ""
    for table in TABLES:
        seen = Seen.read(runner.save(table))
        hooks = seen.hook_lines()
        if seen.chains or hooks:
            text += transaction(table, {}, unhook=hooks, stale=seen.chains)
            log.info("removing %d chains from table %s", len(seen.chains), table)
    if text:
        runner.restore(text)
