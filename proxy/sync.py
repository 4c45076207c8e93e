"""The loop: whatever changes wakes it, then the kernel is brought to what Services and endpoints ask for.

- One sync at a time; changes during a sync lead to one more. Nothing waits otherwise.
- A sync sends one iptables-restore transaction with the chains that differ from what was last applied. Only
  after a start, a failure or somebody else's change is the kernel read first (names and counts).
- Somebody else's changes are heard of through netlink where the kernel tells (nftables) and looked for
  now and then anyway.
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
from proxy.kernel import Seen
from proxy.model import ServicePort, service_ports
from proxy.render import transaction
from proxy.rules import Chains, Config, Table, build
from proxy.runner import RuleError, RuleRunner

log = logging.getLogger(__name__)

FIRST_RETRY, LAST_RETRY = 0.2, 30.0
# Others change rules in bursts; look once when it is over.
SETTLE_SECONDS = 0.1
CHECK_SECONDS = 30.0
# Where nobody tells of changes, looking is the only way: two short processes each time.
CHECK_SECONDS_UNTOLD = 5.0

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
    """What the loop needs of an informer."""

    def list(self) -> list[Object]: ...


class RuleSync:
    """Brings the kernel's rules to what the listed Services and slices ask for; knows what it last applied."""

    def __init__(
        self,
        services: Lister,
        slices: Lister,
        runner: RuleRunner,
        config: Config,
        node: str,
        *,
        forget_flows: Callable[[conntrack.Destinations, conntrack.Destinations], int] = conntrack.forget_stale,
    ) -> None:
        self._services = services
        self._slices = slices
        self._runner = runner
        self._config = config
        self._node = node
        self._forget_flows = forget_flows
        self._ports: tuple[ServicePort, ...] | None = None
        self._applied: dict[str, Table] = {}
        self._udp: conntrack.Destinations = {}

    def sync(self) -> str:
        """Applies what has changed; returns in words what it did, nothing if there was nothing to do."""
        ports = service_ports(self._services.list(), self._slices.list(), self._node)
        if self._applied and ports == self._ports:
            return ""
        tables = build(ports, self._config)
        whole = not self._applied
        try:
            text = "".join(self._whole(table) if whole else self._changes(table) for table in tables)
            if text:
                self._runner.restore(text)
        except RuleError:
            self._applied = {}  # look before the next step
            raise
        self._applied = {table.name: table for table in tables}
        self._ports = ports
        for table in tables:
            RULES.set(sum(map(len, table.chains.values())), (table.name,))
        self._clean_flows(ports)
        if not text:
            return ""
        chains = sum(line.startswith(":") for line in text.splitlines())
        return f"{'wrote all rules' if whole else 'updated rules'}: {len(ports)} ports, {chains} chains"

    def verify(self) -> str:
        """Compares the kernel with what was last applied; what differs, in words. The next ``sync`` repairs it."""
        for table in self._applied.values():
            difference = Seen.read(self._runner.save(table.name)).differs(table)
            if difference:
                self._applied = {}
                return difference
        return ""

    def _whole(self, table: Table) -> str:
        """Everything, whatever is there now."""
        seen = Seen.read(self._runner.save(table.name))
        hooks, unhook = seen.misplaced(table)
        return transaction(table.name, table.chains, hooks=hooks, unhook=unhook, stale=seen.stale(table))

    def _changes(self, table: Table) -> str:
        """The chains that are new or different, and those that are no more."""
        before: Chains = self._applied[table.name].chains
        changed = {chain: rules for chain, rules in table.chains.items() if before.get(chain) != rules}
        stale = [chain for chain in before if chain not in table.chains]
        return transaction(table.name, changed, stale=stale) if changed or stale else ""

    def _clean_flows(self, ports: tuple[ServicePort, ...]) -> None:
        wanted = conntrack.destinations(ports)
        if wanted == self._udp:
            return
        before, self._udp = self._udp, wanted
        try:
            count = self._forget_flows(wanted, before)
        except OSError as error:
            log.warning("cannot clean UDP flows from conntrack: %s", error)
            return
        if count:
            log.info("forgot %d stale UDP flows", count)


class Loop:
    """Runs a RuleSync whenever something may have changed."""

    def __init__(
        self,
        rules: RuleSync,
        ensure_network: Callable[[], None],
        *,
        check_seconds: float = CHECK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules
        self._ensure_network = ensure_network
        self._check_seconds = check_seconds
        self._clock = clock
        self._wake = threading.Event()
        self._look_at: float | None = None  # when to look at the kernel because somebody changed it
        self._next_check = 0.0
        self._retry = FIRST_RETRY
        self.problem = "the rules have not been written yet"

    def watch(self, *informers: Informer) -> None:
        for informer in informers:
            informer.add_handler(lambda old, new: self._wake.set())

    def suspect(self) -> None:
        """Somebody else has changed rules, links or routes: look soon."""
        if self._look_at is None:
            self._look_at = self._clock() + SETTLE_SECONDS
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Until ``stop``. The caches must be filled: rules from half of them would cut off the rest."""
        call_on(stop, self._wake.set)
        self._next_check = self._clock() + self._check_seconds
        wait: float = 0
        while not stop.is_set():
            self._wake.wait(wait)
            self._wake.clear()
            if not stop.is_set():
                wait = self.step()

    def step(self) -> float:
        """Looks and syncs as far as it is due; returns how long nothing needs to be done unless woken."""
        try:
            self._look_if_due()
            began = self._clock()
            done = self._rules.sync()
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
        due = self._next_check if self._look_at is None else min(self._look_at, self._next_check)
        return max(due - self._clock(), 0)

    def _look_if_due(self) -> None:
        now = self._clock()
        if now < self._next_check and (self._look_at is None or now < self._look_at):
            return
        self._look_at = None
        self._next_check = now + self._check_seconds
        self._ensure_network()
        difference = self._rules.verify()
        if difference:
            log.warning("somebody changed our rules: %s; writing them again", difference)
