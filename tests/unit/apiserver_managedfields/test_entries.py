"""Managed fields as they are stored: names of managers, entries, times, the exact form of FieldsV1."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest

from apiserver import managedfields
from apiserver.kinds.configmaps import CONFIG_MAPS
from apiserver.kinds.replicationcontrollers import REPLICATION_CONTROLLERS
from apiserver.managedfields import elements, entries, fieldset, scale
from apiserver.managedfields.entries import ManagerIdentifier, Owned
from apiserver.model.fieldmanager import Writer, manager_name
from apiserver.schema.tree import Array, SchemaNode
from machinery.objects import Object


@pytest.mark.parametrize(
    ("field_manager", "user_agent", "name"),
    [
        ("mine", "kubectl/v1.32", "mine"),
        ("", "kubectl/v1.32.4 (linux/amd64) kubernetes/4cb5f07", "kubectl"),
        ("", "Mozilla/5.0 (X11)", "Mozilla"),
        ("", "curl", "curl"),
        ("", "a\x00b\u200bc/1", "abc"),
        ("", "é" * 100, "é" * 64),
        ("", "", ""),
    ],
)
def test_names(field_manager: str, user_agent: str, name: str) -> None:
    assert manager_name(field_manager, user_agent) == name


@pytest.mark.parametrize(
    ("item", "element", "shown"),
    [
        ({"name": "a<b"}, 'k:{"name":"a\\u003cb"}', '[name="a<b"]'),
        ({"name": 'a"b'}, 'k:{"name":"a\\"b"}', '[name="a\\"b"]'),
        ({"name": "é", "other": 1}, 'k:{"name":"é"}', '[name="é"]'),
        ({"name": 80}, 'k:{"name":80}', "[name=80]"),
        ({"name": True}, 'k:{"name":true}', "[name=true]"),
    ],
)
def test_elements_of_a_map(item: Object, element: str, shown: str) -> None:
    array = Array(SchemaNode("interface {}"), list_type="map", list_keys=["name"])
    assert elements.of_item(array, item) == element
    assert elements.describe(element) == shown
    assert elements.canonical(element) == element


def test_elements_of_a_set() -> None:
    array = Array(SchemaNode("interface {}"), list_type="set")
    assert [elements.of_item(array, item) for item in ("a", 1, 1.5, False)] == ['v:"a"', "v:1", "v:1.5", "v:false"]
    items: tuple[Any, ...] = ({}, [], None)
    for item in items:
        with pytest.raises(elements.MissingKeyError, match="associative list"):
            elements.of_item(array, item)


def test_an_unknown_sort_of_element_is_passed_over() -> None:
    assert fieldset.parse({"f:a": {"x:y": {}}, "i:1": {}}) == {"f:a": {}, "i:1": {}}


@pytest.mark.parametrize("wrong", ["f", "fa", "k:1", "k:{", "v:", "i:x", 'k:["a"]'])
def test_nonsense_is_no_set(wrong: str) -> None:
    with pytest.raises(ValueError):  # of whatever sort
        fieldset.parse({wrong: {}})


def config_map(**data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}


def created(who: str = "a", **data: str) -> Object:
    obj = config_map(**data)
    managedfields.created(CONFIG_MAPS, obj, Writer(who))
    obj["metadata"]["uid"] = "1"
    return obj


def changed(old: Object, who: str, metadata: Object | None = None, **data: str) -> Object:
    new = {**copy.deepcopy(old), "data": data}
    new["metadata"] |= metadata or {}
    managedfields.updated(CONFIG_MAPS, new, old, Writer(who))
    return new


def names(obj: Object) -> list[str]:
    return [entry["manager"] for entry in obj["metadata"].get("managedFields", [])]


def test_the_form_of_an_entry() -> None:
    obj = created(k="1")
    time = obj["metadata"]["managedFields"][0]["time"]
    assert orjson.dumps(obj["metadata"]["managedFields"]).decode() == (
        '[{"manager":"a","operation":"Update","apiVersion":"v1","time":"' + time + '","fieldsType":"FieldsV1",'
        '"fieldsV1":{"f:data":{".":{},"f:k":{}}}}]'
    )


def test_the_form_of_an_entry_of_a_subresource() -> None:
    old: Object = {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {}, "spec": {"replicas": 1}}
    managedfields.created(REPLICATION_CONTROLLERS, old, Writer("a"))
    old["metadata"]["uid"] = "1"
    new = {**copy.deepcopy(old), "status": {"replicas": 1}}
    managedfields.updated(REPLICATION_CONTROLLERS, new, old, Writer("b", "v1", "status"))
    assert list(new["metadata"]["managedFields"][1]) == [
        "manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1", "subresource",
    ]  # fmt: skip


def test_the_time_is_that_of_the_last_change() -> None:
    old = created(k="1")
    old["metadata"]["managedFields"][0]["time"] = "2000-01-01T00:00:00Z"
    assert changed(old, "b", k="1")["metadata"]["managedFields"] == old["metadata"]["managedFields"]
    # Even when the set of fields remains as it is …
    assert changed(old, "a", k="2")["metadata"]["managedFields"][0]["time"] > "2000-01-01T00:00:00Z"
    # … but not by taking fields away.
    assert changed(old, "a")["metadata"]["managedFields"][0]["time"] == "2000-01-01T00:00:00Z"


def test_appliers_come_first_and_then_the_oldest() -> None:
    managers = {
        ManagerIdentifier("b", "Update", "v1"): Owned({"f:a": {}}, "v1", "2001-01-01T00:00:00Z"),
        ManagerIdentifier("a", "Update", "v1"): Owned({"f:a": {}}, "v1", "2001-01-01T00:00:00Z"),
        ManagerIdentifier("c", "Update", "v1"): Owned({"f:a": {}}, "v1", "2000-01-01T00:00:00Z"),
        ManagerIdentifier("z", "Apply", ""): Owned({"f:a": {}}, "v1", "2002-01-01T00:00:00Z"),
    }
    assert [entry["manager"] for entry in entries.write(managers)] == ["z", "c", "a", "b"]
    assert entries.read(entries.write(managers)) == managers


def test_the_oldest_updaters_become_one() -> None:
    obj = created("0", k0="0")
    obj["metadata"]["managedFields"][0]["time"] = "2000-01-01T00:00:00Z"
    for number in range(1, 11):
        data = {f"k{i}": str(i) for i in range(number + 1)}
        obj = changed(obj, str(number), **data)  # type: ignore[arg-type]
        for entry in obj["metadata"]["managedFields"]:
            if entry["manager"] == str(number):
                entry["time"] = f"20{number:02}-01-01T00:00:00Z"
    assert len(names(obj)) == entries.MOST_UPDATERS
    assert names(obj)[0] == "ancient-changes"
    merged = obj["metadata"]["managedFields"][0]
    assert merged["time"] == "2001-01-01T00:00:00Z"
    assert merged["fieldsV1"] == {"f:data": {".": {}, "f:k0": {}, "f:k1": {}}}


def test_a_client_may_write_the_entries() -> None:
    old = created(k="1", l="1")
    entry = old["metadata"]["managedFields"][0]
    renamed = {**entry, "manager": "b", "fieldsV1": {"f:data": {"f:l": {}, "f:k": {}, ".": {}}}}
    new = changed(old, "c", {"managedFields": [renamed]}, k="1", l="2")
    assert {e["manager"]: e["fieldsV1"] for e in new["metadata"]["managedFields"]} == {
        "b": {"f:data": {".": {}, "f:k": {}}},
        "c": {"f:data": {"f:l": {}}},
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"operation": "Delete"},
        {"apiVersion": ""},
        {"fieldsType": "FieldsV2"},
        {"fieldsV1": {"nonsense": {}}},
        {"fieldsV1": {"f:a": 1}},
    ],
)
def test_entries_that_make_no_sense_are_passed_over(wrong: Object) -> None:
    old = created(k="1")
    entry = old["metadata"]["managedFields"][0]
    new = changed(old, "b", {"managedFields": [{**entry, **wrong}]}, k="1")
    assert new["metadata"]["managedFields"] == old["metadata"]["managedFields"]


def test_a_subresource_does_not_write_the_entries() -> None:
    old = created(k="1")
    new = copy.deepcopy(old)
    new["metadata"]["managedFields"] = [{}]
    managedfields.updated(CONFIG_MAPS, new, old, Writer("b", "v1", "status"))
    assert new["metadata"]["managedFields"] == old["metadata"]["managedFields"]


@pytest.mark.parametrize("reset", [[], [{}]])
def test_reset(reset: list[Any]) -> None:
    old = created(k="1")
    assert names(changed(old, "b", {"managedFields": reset}, k="2")) == []
    assert names(changed(changed(old, "b", {"managedFields": reset}, k="2"), "c", k="3")) == []
    new = config_map(k="1")
    new["metadata"]["managedFields"] = reset
    managedfields.created(CONFIG_MAPS, new, Writer("a"))
    assert names(new) == ["a"]


def test_only_another_time_is_no_change() -> None:
    old = created(k="1")
    new = copy.deepcopy(old)
    new["metadata"]["managedFields"][0]["time"] = "2100-01-01T00:00:00Z"
    managedfields.settle(new, old)
    assert new == old
    new["metadata"]["managedFields"][0]["time"] = "2100-01-01T00:00:00Z"
    new["data"]["k"] = "2"
    managedfields.settle(new, old)
    assert new["metadata"]["managedFields"][0]["time"] == "2100-01-01T00:00:00Z"


REPLICAS: Object = {"f:spec": {"f:replicas": {}}}


def parent(*owners: tuple[ManagerIdentifier, Any]) -> list[Object]:
    return entries.write({who: Owned(fields, "v1", "2000-01-01T00:00:00Z") for who, fields in owners})


def test_owners_of_replicas() -> None:
    other: Object = {"f:spec": {"f:replicas": {}, "f:selector": {}}}
    owners = parent(
        (ManagerIdentifier("a", "Apply", ""), other),
        (ManagerIdentifier("b", "Update", "v1"), {"f:spec": {"f:selector": {}}}),
    )
    shown = managedfields.to_scale(owners)
    assert [(entry["manager"], entry["apiVersion"], entry["fieldsV1"]) for entry in shown] == [
        ("a", "autoscaling/v1", REPLICAS)
    ]
    assert managedfields.to_parent(owners, shown, "v1") == owners
    taken = entries.write(
        {ManagerIdentifier("c", "Update", "autoscaling/v1", "scale"): Owned(REPLICAS, scale.API_VERSION)}
    )
    after = entries.read(managedfields.to_parent(owners, taken, "v1"))
    assert after[ManagerIdentifier("a", "Apply", "")].fields == {"f:spec": {"f:selector": {}}}
    assert after[ManagerIdentifier("c", "Update", "v1", "scale")].fields == REPLICAS


def test_owners_of_replicas_elsewhere() -> None:
    path = ("f:spec", "f:size")
    owners = parent((ManagerIdentifier("a", "Update", "v1"), {"f:spec": {"f:size": {}}}))
    shown = managedfields.to_scale(owners, path)
    assert shown[0]["fieldsV1"] == REPLICAS
    assert managedfields.to_parent(owners, shown, "v1", path) == owners
    assert managedfields.to_parent(owners, [], "v1", path) == []
