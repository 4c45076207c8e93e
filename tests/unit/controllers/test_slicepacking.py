"""Few writes: endpoints stay where they are, changed slices are filled first, deleted ones are used again."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controllers.services.slicepacking import Changes, Groups, identity, pack
from machinery.objects import Object

TEMPLATE: Object = {"metadata": {"labels": {"a": "b"}, "generateName": "svc-"}}
PORTS = [{"name": "", "port": 80, "protocol": "TCP"}]


def endpoint(name: str, ready: bool = True) -> Object:
    target = {"kind": "Pod", "namespace": "ns", "name": name}
    return {"addresses": [f"ip-{name}"], "conditions": {"ready": ready}, "targetRef": target}


def existing(name: str, *endpoints: str, ports: list[Object] | None = None, labels: Any = None) -> Object:
    meta = {"name": name, "namespace": "ns", "labels": labels or {"a": "b"}, "resourceVersion": "1"}
    return {
        "metadata": meta,
        "addressType": "IPv4",
        "ports": PORTS if ports is None else ports,
        "endpoints": [endpoint(each) for each in endpoints],
    }


def wanted(*names: str, ports: list[Object] | None = None, ready: bool = True) -> Groups:
    groups = Groups()
    for name in names:
        groups.of("IPv4", PORTS if ports is None else ports).add(endpoint(name, ready))
    return groups


def members(slices: list[Object]) -> list[list[str]]:
    return [[each["targetRef"]["name"] for each in one["endpoints"]] for one in slices]


def test_nothing_to_do() -> None:
    assert pack(wanted("a", "b"), [existing("s", "b", "a")], TEMPLATE, 3) == Changes()


def test_new_slices_hold_so_many_each() -> None:
    changes = pack(wanted(*"abcde"), [], TEMPLATE, 2)
    assert members(changes.create) == [["a", "b"], ["c", "d"], ["e"]]


def test_a_changed_endpoint_is_updated_in_its_place() -> None:
    changes = pack(wanted("a", ready=False), [existing("s", "a")], TEMPLATE, 2)
    assert changes.update[0]["endpoints"] == [endpoint("a", ready=False)]
    assert changes.update[0]["metadata"]["resourceVersion"] == "1"


def test_slices_that_change_anyway_are_filled_first() -> None:
    changes = pack(wanted(*"bcd"), [existing("full", "a", "b"), existing("roomy", "c")], TEMPLATE, 2)
    assert members(changes.update) == [["b", "d"]]
    assert changes.update[0]["metadata"]["name"] == "full"


def test_the_fullest_unchanged_slice_with_room_for_all_the_rest_is_taken() -> None:
    slices = [existing("one", "a"), existing("two", "b", "c")]
    assert members(pack(wanted(*"abcd"), slices, TEMPLATE, 3).update) == [["b", "c", "d"]]
    assert members(pack(wanted(*"abcde"), slices, TEMPLATE, 3).update) == [["a", "d", "e"]]


def test_no_slice_has_room() -> None:
    changes = pack(wanted(*"abcd"), [existing("s", "a", "b")], TEMPLATE, 2)
    assert (changes.update, members(changes.create)) == ([], [["c", "d"]])


def test_an_emptied_slice_is_deleted_or_used_again() -> None:
    gone, kept = existing("gone", "x"), existing("kept", "a")
    assert pack(wanted("a"), [gone, kept], TEMPLATE, 1) == Changes(delete=[gone])
    changes = pack(wanted("a", "b"), [gone, kept], TEMPLATE, 1)
    assert (members(changes.update), changes.create, changes.delete) == ([["b"]], [], [])
    assert changes.update[0]["metadata"]["name"] == "gone"


def test_other_ports_are_another_group() -> None:
    other = [{"name": "", "port": 81, "protocol": "TCP"}]
    changes = pack(wanted("a", ports=other), [existing("s", "a")], TEMPLATE, 2)
    assert (changes.create, changes.delete) == ([], [])
    assert [(each["ports"], each["metadata"]["name"]) for each in changes.update] == [(other, "s")]


def test_labels_follow_the_template_and_foreign_annotations_stay() -> None:
    old = existing("s", "a", labels={"a": "old"})
    old["metadata"]["annotations"] = {"somebody": "else"}
    [updated] = pack(wanted("a"), [old], TEMPLATE, 2).update
    assert updated["metadata"]["labels"] == {"a": "b"}
    assert updated["metadata"]["annotations"] == {"somebody": "else"}


def test_the_placeholder() -> None:
    [made] = pack(Groups(), [], TEMPLATE, 2, "IPv4").create
    assert (made["ports"], made["endpoints"], made["addressType"]) == ([], [], "IPv4")
    assert pack(Groups(), [existing("s", ports=[])], TEMPLATE, 2, "IPv4") == Changes()
    [emptied] = pack(Groups(), [existing("s", "a")], TEMPLATE, 2, "IPv4").update
    assert (emptied["ports"], emptied["endpoints"]) == ([], [])
    surplus = existing("t", ports=[])
    assert pack(Groups(), [existing("s", ports=[]), surplus], TEMPLATE, 2, "IPv4") == Changes(delete=[surplus])


NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True)


@given(NAMES, st.lists(NAMES, max_size=3), st.integers(1, 3))
def test_applied_changes_are_what_was_wanted(want: list[str], have: list[list[str]], most: int) -> None:
    slices = [existing(f"s{number}", *names[:most]) for number, names in enumerate(have)]
    changes = pack(wanted(*want), slices, TEMPLATE, most, "IPv4")
    touched = {each["metadata"]["name"] for each in changes.update + changes.delete}
    assert len(touched) == len(changes.update) + len(changes.delete), "no slice is written twice"
    after = [each for each in slices if each["metadata"]["name"] not in touched] + changes.update + changes.create
    placed = [identity(each) for one in after for each in one["endpoints"]]
    assert sorted(placed) == sorted(identity(endpoint(name)) for name in want)
    assert all(len(one["endpoints"]) <= most for one in after)
    for number, each in enumerate(after):
        each["metadata"] = {**each["metadata"], "name": f"n{number}"}
    assert pack(wanted(*want), after, TEMPLATE, most, "IPv4") == Changes(), "and stay so"
