"""What a node reports besides itself: resources that others have given it."""

from __future__ import annotations

from typing import Any

from kubelet.node.registration import extended_resources, same_status

DONGLE = "example.com/dongle"


def node(capacity: dict[str, str], allocatable: dict[str, str] | None = None) -> dict[str, Any]:
    return {"status": {"capacity": capacity, "allocatable": allocatable or {}}}


def test_what_others_have_written_is_allocatable() -> None:
    amounts = {"cpu": "2", DONGLE: "3", "hugepages-2Mi": "0", "kubernetes.io/batch": "1"}
    assert extended_resources(node(amounts)) == {DONGLE: "3"}
    assert extended_resources({}) == {}


def test_what_was_taken_back_is_not() -> None:
    assert extended_resources(node({"cpu": "2"}, {DONGLE: "3"})) == {DONGLE: None}


def test_a_change_of_it_is_worth_a_report() -> None:
    before = {"allocatable": {"memory": "1000Ki"}}
    assert same_status(before, {"allocatable": {"memory": "1024000"}})
    assert not same_status(before, {"allocatable": {"memory": "1000Ki", DONGLE: "3"}})
    assert same_status(before, {"allocatable": {"memory": "1000Ki", DONGLE: None}})
