"""Services and slices in ``cases/*.input.yaml`` become the rules in ``cases/*.rules``.

``pytest --record`` writes the rules anew; read the difference before committing it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from goldens import Goldens

from proxy.model import service_ports
from proxy.render import transaction
from proxy.rules import AddressRanges, build
from proxy.ruletypes import Jump, RuleTable

CASES = sorted((Path(__file__).parent / "cases").glob("*.input.yaml"))
Case = tuple[Path, tuple[RuleTable, RuleTable]]  # the recorded rules, and the built ones


@pytest.fixture(params=CASES, ids=lambda path: path.name.removesuffix(".input.yaml"))
def case(request: pytest.FixtureRequest) -> Case:
    path: Path = request.param
    objects = list(yaml.safe_load_all(path.read_text()))
    services = [obj for obj in objects if obj["kind"] == "Service"]
    slices = [obj for obj in objects if obj["kind"] == "EndpointSlice"]
    tables = build(service_ports(services, slices, "node1"), AddressRanges("172.17.0.0/16", "172.30.0.0/16"))
    return path.with_name(path.name.replace(".input.yaml", ".rules")), tables


def test_rules(case: Case, goldens: Goldens) -> None:
    file, tables = case
    text = "".join(transaction(table.name, table.chains) for table in tables)
    goldens.compare(text, file)


def test_every_jump_has_its_chain_and_every_chain_of_a_service_is_reached(case: Case) -> None:
    _, tables = case
    for table in tables:
        rules = [rule for chain in table.chains.values() for rule in chain] + [hook.rule for hook in table.hooks]
        targets = {rule.target.chain for rule in rules if isinstance(rule.target, Jump)}
        assert targets <= table.chains.keys()
        assert set(table.chains) <= targets


def test_names_fit_the_kernel(case: Case) -> None:
    _, tables = case
    for table in tables:
        assert all(len(chain) <= 28 for chain in table.chains)
        assert all(len(rule.comment) <= 255 for rules in table.chains.values() for rule in rules)
