"""Keep the kernel's rules at what Services and endpoints ask for. ``SyncLoop`` decides when, ``Proxier`` what.

- A change of a Service or slice leads to a sync at once. Only one runs at a time; changes during it lead to another.
- A sync sends one iptables-restore transaction, with those chains only that differ from what was last applied. When one
  endpoint of thousands goes, one chain is rewritten and one deleted.
- After a start, a failure or a foreign change nothing is known of the kernel: it is read first (the names of chains
  and the number of their rules), and then everything is written.
- Foreign changes, such as a flush, are heard of through netlink where the kernel sends messages about them, and looked
  for every CHECK_SECONDS in any case (upstream: the resync of every syncPeriod).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from machinery.informer import Informer
from machinery.metrics import METRICS
from machinery.objects import Object
from machinery.stopping import call_on
from proxy import conntrack
from proxy.kernel import KernelTable
from proxy.model import ServicePort, service_ports
from proxy.render import transaction
from proxy.rules import AddressRanges, build
from proxy.ruletypes import RuleTable
from proxy.runner import RuleError, RuleRunner

log = logging.getLogger(__name__)

# Called with the UDP destinations of now and of before; raises OSError.
DeleteFlows = Callable[[conntrack.Destinations, conntrack.Destinations], None]

FIRST_RETRY, LAST_RETRY = 0.2, 30.0  # seconds
# Other programs change rules in bursts; one check at the end is enough.
SETTLE_SECONDS = 0.1
CHECK_SECONDS = 30.0
# Where the kernel sends no messages about changes. A check runs iptables-save twice.
CHECK_SECONDS_WITHOUT_MESSAGES = 5.0

# Upstream's names (pkg/proxy/metrics).
SYNCS = METRICS.histogram(
    "kubeproxy_sync_proxy_rules_duration_seconds",
    "[ALPHA] How long it took to bring the rules up to date.",
    bounds=[0.001 * 2**power for power in range(15)],
)
FAILURES = METRICS.counter(
    "kubeproxy_sync_proxy_rules_iptables_restore_failures_total", "[ALPHA] How often the kernel did not take the rules."
)
LAST_SYNC = METRICS.gauge(
    "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
    "[ALPHA] When the rules were last brought up to date, in seconds since 1970.",
)
RULES = METRICS.gauge(
    "kubeproxy_sync_proxy_rules_iptables_total", "[ALPHA] How many rules there are in our chains.", ("table",)
)


class Lister(Protocol):
    """What the proxier needs of an informer."""

    def list(self) -> list[Object]: ...


class Proxier:
    """Brings the kernel's rules to what the listed Services and slices ask for.

    It keeps the tables that it applied last, to send only what differs. When they are unknown (``invalidate``),
    the next sync reads the kernel and writes everything.
    """

    def __init__(
        self,
        services: Lister,
        slices: Lister,
        runner: RuleRunner,
        ranges: AddressRanges,
        node: str,
        *,
        delete_stale_flows: DeleteFlows = conntrack.delete_stale_flows,
    ) -> None:
        self._services = services
        self._slices = slices
        self._runner = runner
        self._ranges = ranges
        self._node = node
        self._delete_stale_flows = delete_stale_flows
        self._ports: tuple[ServicePort, ...] | None = None
        self._applied: dict[str, RuleTable] = {}  # by name; empty when unknown
        self._udp_destinations: conntrack.Destinations = {}

    def sync(self) -> str:
        """Apply what has changed. Return in words what was done, empty for nothing. Raises RuleError."""
        ports = service_ports(self._services.list(), self._slices.list(), self._node)
        if self._applied and ports == self._ports:
            return ""
        tables = build(ports, self._ranges)
        everything = not self._applied
        try:
            text = "".join(self._rewrite(table) if everything else self._changes(table) for table in tables)
            if text:
                self._runner.restore(text)
        except RuleError:
            self.invalidate()
            raise
        self._applied = {table.name: table for table in tables}
        self._ports = ports
        for table in tables:
            RULES.set(sum(map(len, table.chains.values())), (table.name,))
        self._update_flows(ports)
        if not text:
            return ""
        chains = sum(line.startswith(":") for line in text.splitlines())
        return f"{'wrote all rules' if everything else 'updated rules'}: {len(ports)} ports, {chains} chains"

    def difference(self) -> str:
        """Return in words how the kernel differs from what was last applied, or an empty text. Raises RuleError."""
        tables = self._applied.values()
        found = (KernelTable.read(self._runner.save(table.name)).difference(table) for table in tables)
        return next(filter(None, found), "")

    def invalidate(self) -> None:
        """Forget what was applied, so that the next sync reads the kernel and writes everything."""
        self._applied = {}

    def _rewrite(self, table: RuleTable) -> str:
        """Return the transaction that writes the whole table, whatever the kernel has now."""
        current = KernelTable.read(self._runner.save(table.name))
        hooks, unhook = current.hook_changes(table)
        return transaction(table.name, table.chains, hooks=hooks, unhook=unhook, stale=current.stale_chains(table))

    def _changes(self, table: RuleTable) -> str:
        """Return the transaction that writes the chains that differ from the last; empty if none does."""
        before = self._applied[table.name].chains
        changed = {chain: rules for chain, rules in table.chains.items() if before.get(chain) != rules}
        stale = [chain for chain in before if chain not in table.chains]
        return transaction(table.name, changed, stale=stale) if changed or stale else ""

    def _update_flows(self, ports: tuple[ServicePort, ...]) -> None:
        wanted = conntrack.udp_destinations(ports)
        if wanted == self._udp_destinations:
            return
        before, self._udp_destinations = self._udp_destinations, wanted
        try:
            self._delete_stale_flows(wanted, before)
        except OSError as error:
            log.warning("cannot delete UDP flows from conntrack: %s", error)


class SyncLoop:
    """Runs a Proxier whenever something may have changed.

    ``problem`` is in words what is wrong now, empty if all is well; /healthz shows it.
    """

    def __init__(
        self,
        proxier: Proxier,
        ensure_network: Callable[[], None],
        *,
        check_seconds: float = CHECK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._proxier = proxier
        self._ensure_network = ensure_network
        self._check_seconds = check_seconds
        self._clock = clock
        self._wake = threading.Event()
        self._early_check: float | None = None  # when to check because of a foreign change; None: none is known of
        self._next_check = 0.0
        self._retry = FIRST_RETRY
        self.problem = "the rules have not been written yet"

    def watch(self, *informers: Informer) -> None:
        for informer in informers:
            informer.add_handler(lambda old, new: self._wake.set())

    def check_soon(self) -> None:
        """Check the kernel in SETTLE_SECONDS, because somebody else has changed rules, links or routes."""
        if self._early_check is None:
            self._early_check = self._clock() + SETTLE_SECONDS
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Run until ``stop``. The informers must be synced: rules from half of the objects would cut off the others."""
        call_on(stop, self._wake.set)
        self._next_check = self._clock() + self._check_seconds
        wait: float = 0
        while not stop.is_set():
            self._wake.wait(wait)
            self._wake.clear()
            if not stop.is_set():
                wait = self.step()

    def step(self) -> float:
        """Check if that is due, then sync. Return the seconds after which the next step is due, if nothing changes."""
        try:
            self._check_if_due()
            began = self._clock()
            done = self._proxier.sync()
        except (RuleError, OSError) as error:
            self.problem = str(error)
            FAILURES.add()
            wait, self._retry = self._retry, min(self._retry * 2, LAST_RETRY)
            log.error("%s; trying again in %.1f s", error, wait)
            return wait
        if done:
            took = self._clock() - began
            SYNCS.observe(took)
            LAST_SYNC.set(time.time())
            log.info("%s in %.0f ms", done, took * 1000)
        self.problem = ""
        self._retry = FIRST_RETRY
        due = self._next_check if self._early_check is None else min(self._early_check, self._next_check)
        return max(due - self._clock(), 0)

    def _check_if_due(self) -> None:
        now = self._clock()
        if now < self._next_check and (self._early_check is None or now < self._early_check):
            return
        self._early_check = None
        self._next_check = now + self._check_seconds
        self._ensure_network()
        difference = self._proxier.difference()
        if difference:
            self._proxier.invalidate()
            log.warning("somebody changed our rules: %s; writing them again", difference)
