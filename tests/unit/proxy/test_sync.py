"""The sync loop on a fake kernel: what is sent, when it is sent, and what happens after failures and flushes."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import cast

import pytest
from unit.proxy.tracer import Make

from machinery.informer import EventHandler, Informer
from machinery.objects import Object
from proxy.cleanup import remove_rules
from proxy.conntrack import Destinations
from proxy.kernel import KernelTable
from proxy.rules import AddressRanges
from proxy.runner import RuleError
from proxy.sync import Proxier, SyncLoop

BUILTIN = {"nat": ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"], "filter": ["INPUT", "FORWARD", "OUTPUT"]}


class FakeKernel:
    """Keeps rules as iptables-restore --noflush would, and prints them as iptables-save does."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, list[str]]] = {
            table: {chain: [] for chain in chains} for table, chains in BUILTIN.items()
        }
        self.tables["filter"]["FORWARD"] = ["-j DOCKER-USER"]
        self.tables["filter"]["DOCKER-USER"] = ["-j RETURN"]
        self.transactions: list[str] = []
        self.applied = threading.Semaphore(0)  # released by each transaction
        self.fail = ""

    def save(self, table: str) -> str:
        chains = self.tables[table]
        lines = [f":{chain} {'ACCEPT' if chain in BUILTIN[table] else '-'} [0:0]" for chain in chains]
        return "\n".join([f"*{table}", *lines, *(f"-A {c} {r}" for c, rules in chains.items() for r in rules)])

    def restore(self, transaction: str) -> None:
        if self.fail:
            raise RuleError(self.fail)
        self.transactions.append(transaction)
        for line in transaction.splitlines():
            word, _, rest = line.partition(" ")
            if line.startswith("*"):
                chains = self.tables[line[1:]]
            elif line.startswith(":"):
                chains[word[1:]] = []
            elif word == "-A":
                chain, _, rule = rest.partition(" ")
                chains[chain].append(rule)
            elif word == "-I":
                chain, place, rule = rest.split(" ", 2)
                chains[chain].insert(int(place) - 1, rule)
            elif word == "-D":
                chain, _, rule = rest.partition(" ")
                chains[chain].remove(rule)
            elif word == "-X":
                assert not any(f"-j {rest}" in rule for rules in chains.values() for rule in rules)
                del chains[rest]
        self.applied.release()

    def rules(self, text: str) -> list[str]:
        return [rule for chains in self.tables.values() for rules in chains.values() for rule in rules if text in rule]


class FakeInformer:
    def add_handler(self, handler: EventHandler) -> None:
        self.handler = handler


class Listed(list[Object]):
    def list(self) -> list[Object]:
        return self


class World:
    def __init__(self, service: Make, endpoint_slice: Make) -> None:
        self.services = Listed([service()])
        self.slices = Listed([endpoint_slice("172.17.0.2")])
        self.kernel = FakeKernel()
        self.flows: list[tuple[Destinations, Destinations]] = []
        self.restart()

    def restart(self) -> None:
        self.sync = Proxier(
            self.services,
            self.slices,
            self.kernel,
            AddressRanges("172.17.0.0/16", "172.30.0.0/16"),
            "node1",
            delete_stale_flows=lambda wanted, gone: self.flows.append((wanted, gone)),
        )


@pytest.fixture
def world(service: Make, endpoint_slice: Make) -> World:
    return World(service, endpoint_slice)


def test_first_everything_then_only_what_changed(world: World, endpoint_slice: Make) -> None:
    assert world.sync.sync().startswith("wrote all rules")
    assert world.kernel.tables["filter"]["FORWARD"][-1] == "-j DOCKER-USER"
    assert world.sync.sync() == ""
    world.slices[:] = [endpoint_slice("172.17.0.2", "172.17.0.3")]
    assert world.sync.sync().startswith("updated rules")
    changed = world.kernel.transactions[-1]
    assert "*filter" not in changed
    declared = [line.split()[0][1:9] for line in changed.splitlines() if line.startswith(":")]
    assert sorted(declared) == ["KUBE-SEP", "KUBE-SVC"]
    assert world.sync.difference() == ""


def test_chains_of_gone_endpoints_and_services_go(world: World) -> None:
    world.sync.sync()
    assert world.kernel.rules("172.17.0.2")
    world.slices.clear()
    world.sync.sync()
    assert not world.kernel.rules("172.17.0.2")
    assert world.kernel.rules("REJECT")
    world.services.clear()
    world.sync.sync()
    assert not world.kernel.rules("ns/web")
    assert not [chain for chain in world.kernel.tables["nat"] if chain.startswith(("KUBE-SVC", "KUBE-SEP"))]


def test_a_restart_takes_over_what_is_there_and_removes_what_is_stale(world: World) -> None:
    world.sync.sync()
    before = {table: dict(chains) for table, chains in world.kernel.tables.items()}
    world.restart()
    world.sync.sync()
    assert world.kernel.tables == before
    world.slices.clear()
    world.restart()
    world.sync.sync()
    assert not world.kernel.rules("172.17.0.2")
    assert world.sync.difference() == ""


def flush(kernel: FakeKernel) -> None:
    for rules in kernel.tables["nat"].values():
        rules.clear()


def delete_chain_rules(kernel: FakeKernel) -> None:
    kernel.tables["nat"]["KUBE-POSTROUTING"].pop()


def delete_hook(kernel: FakeKernel) -> None:
    kernel.tables["filter"]["FORWARD"].pop(1)


def push_in_front(kernel: FakeKernel) -> None:
    kernel.tables["nat"]["PREROUTING"].insert(0, "-j SOMEBODY")


def delete_chain(kernel: FakeKernel) -> None:
    del kernel.tables["filter"]["KUBE-FIREWALL"]


@pytest.mark.parametrize("damage", [flush, delete_chain_rules, delete_hook, push_in_front, delete_chain])
def test_damage_is_noticed_and_repaired(world: World, damage: Callable[[FakeKernel], None]) -> None:
    world.sync.sync()
    damage(world.kernel)
    assert world.sync.difference()
    world.sync.invalidate()
    assert world.sync.sync().startswith("wrote all rules")
    assert world.sync.difference() == ""
    assert len(world.kernel.rules("-j KUBE-SERVICES")) == 4


def test_after_a_failure_everything_is_written_again(world: World, endpoint_slice: Make) -> None:
    world.sync.sync()
    world.slices[:] = [endpoint_slice("172.17.0.9")]
    world.kernel.fail = "out of memory"
    with pytest.raises(RuleError):
        world.sync.sync()
    world.kernel.fail = ""
    assert world.sync.sync().startswith("wrote all rules")
    assert world.kernel.rules("172.17.0.9:8080")
    assert not world.kernel.rules("172.17.0.2")


def test_flows_are_cleaned_only_when_udp_changes(world: World, service: Make, endpoint_slice: Make) -> None:
    world.sync.sync()
    assert world.flows == []
    world.services[:] = [service(ports=[{"port": 53, "protocol": "UDP"}])]
    world.slices[:] = [endpoint_slice("172.17.0.2", ports=[{"port": 53, "protocol": "UDP"}])]
    world.sync.sync()
    world.slices[:] = []
    world.sync.sync()
    where = ("172.30.1.1", 53)
    assert world.flows == [
        ({where: frozenset({"172.17.0.2:53"})}, {}),
        ({where: frozenset()}, {where: frozenset({"172.17.0.2:53"})}),
    ]


def test_cleanup_leaves_what_is_not_ours(world: World) -> None:
    before = copy.deepcopy(world.kernel.tables)
    world.sync.sync()
    remove_rules(world.kernel)
    assert world.kernel.tables == before
    count = len(world.kernel.transactions)
    remove_rules(world.kernel)
    assert len(world.kernel.transactions) == count


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def loop(world: World, clock: Clock) -> SyncLoop:
    return SyncLoop(world.sync, lambda: None, check_seconds=30, clock=clock)


def test_the_loop_looks_shortly_after_somebody_elses_change(world: World, loop: SyncLoop, clock: Clock) -> None:
    loop._next_check = 30
    assert loop.step() == 30
    assert loop.problem == ""
    flush(world.kernel)
    loop.check_soon()
    assert 0 < loop.step() <= 0.1
    assert not world.kernel.rules("172.17.0.2:8080")
    clock.now += 0.1
    loop.step()
    assert world.kernel.rules("172.17.0.2:8080")


def test_the_loop_looks_now_and_then_anyway(world: World, loop: SyncLoop, clock: Clock) -> None:
    loop.step()
    flush(world.kernel)
    clock.now += 31
    loop.step()
    assert world.kernel.rules("172.17.0.2:8080")


def test_failures_back_off_and_show_in_the_health(world: World, loop: SyncLoop) -> None:
    assert loop.problem
    world.kernel.fail = "no such module"
    assert [loop.step() for _ in range(3)] == [0.2, 0.4, 0.8]
    assert loop.problem == "no such module"
    world.kernel.fail = ""
    loop.step()
    assert loop.problem == ""


def test_the_loop_runs_on_events_and_ends_at_once(world: World, loop: SyncLoop) -> None:
    informer, stop = FakeInformer(), threading.Event()
    loop.watch(cast(Informer, informer))
    applied = world.kernel.applied
    thread = threading.Thread(target=loop.run, args=(stop,))
    thread.start()
    assert applied.acquire(timeout=5)
    world.slices.clear()
    informer.handler(None, {})
    assert applied.acquire(timeout=5)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


def test_saved_text_is_read_by_names_only() -> None:
    table = KernelTable.read(
        "*nat\n:PREROUTING ACCEPT [1:2]\n:KUBE-SERVICES - [0:0]\n:DOCKER - [0:0]\n:KUBE-ROUTER - [0:0]\n"
        '-A PREROUTING -m comment --comment "a -j b" -j KUBE-SERVICES\n-A KUBE-SERVICES -x\n-A DOCKER -j RETURN\nCOMMIT'
    )
    assert table.chains == {"KUBE-SERVICES": 1}
    assert list(table.builtin) == ["PREROUTING"]
