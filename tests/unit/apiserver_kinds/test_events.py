"""Events in the two groups that show them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from apiserver.api.tables import cells
from apiserver.kinds.events import EVENTS
from apiserver.kinds.events_v1 import EVENTS_V1, convert

Object = dict[str, Any]
TIME = "2020-01-01T00:00:00.000000Z"


def event(**fields: Any) -> Object:
    """As it is stored, of the newer sort."""
    return {
        "metadata": {"name": "e", "namespace": "t"},
        "involvedObject": {"kind": "Pod", "namespace": "t", "name": "web"},
        "eventTime": TIME,
        "reportingComponent": "example.com/robot",
        "reportingInstance": "robot-1",
        "action": "Do",
        "reason": "Done",
        "message": "It is done",
        "type": "Normal",
        **fields,
    }


def refused(errors: Any) -> list[str]:
    return [str(error) for error in errors]


def test_there_and_back() -> None:
    stored = event(source={"component": "kubelet"}, count=3, firstTimestamp=TIME, lastTimestamp=TIME)
    shown = copy.deepcopy(stored)
    convert(shown, "v1", False)
    assert shown["regarding"] == stored["involvedObject"]
    assert (shown["note"], shown["reportingController"]) == ("It is done", "example.com/robot")
    assert (shown["deprecatedCount"], shown["deprecatedSource"]) == (3, {"component": "kubelet"})
    assert not {"message", "involvedObject", "count", "source", "firstTimestamp"} & shown.keys()
    convert(shown, "v1", True)
    assert shown == stored


def test_both_groups_keep_the_same_objects() -> None:
    assert EVENTS_V1.prefix == EVENTS.prefix == "/registry/events/"
    assert (EVENTS_V1.resource, EVENTS_V1.group_kind) == ("events", "Event")


def test_both_print_the_same_row() -> None:
    stored = event()
    shown = copy.deepcopy(stored)
    convert(shown, "v1", False)
    assert cells(EVENTS_V1, shown) == cells(EVENTS, stored)
    assert cells(EVENTS, stored)[1:4] == ["Normal", "Done", "pod/web"]


@pytest.mark.parametrize(
    "fields, errors",
    [
        ({}, []),
        ({"eventTime": None}, ["eventTime: Required value"]),
        ({"type": "Sad"}, ['type: Invalid value: "": has invalid value: Sad']),
        ({"count": 2}, ['count: Invalid value: "": needs to be unset']),
        ({"source": {"host": "node"}}, ['source: Invalid value: "": needs to be unset']),
        (
            {"series": {"count": 1}},
            ['series.count: Invalid value: "": should be at least 2', "series.lastObservedTime: Required value"],
        ),
        ({"action": ""}, ["action: Required value"]),
        ({"message": "é" * 513}, ['message: Invalid value: "": can have at most 1024 characters']),
        ({"reason": "r" * 129}, ['reason: Invalid value: "": can have at most 128 characters']),
        (
            {"involvedObject": {"kind": "Node", "name": "n"}},
            ['involvedObject.namespace: Invalid value: "": does not match event.namespace'],
        ),
    ],
)
def test_new_events_of_the_newer_group_must_be_complete(fields: Object, errors: list[str]) -> None:
    assert refused(EVENTS_V1.strategy.validate(event(**fields))) == errors


@pytest.mark.parametrize("namespace, fine", [("default", True), ("kube-system", False), ("t", False)])
def test_where_an_old_event_about_the_cluster_lies(namespace: str, fine: bool) -> None:
    old = {"metadata": {"namespace": namespace}, "involvedObject": {"kind": "Node", "name": "n"}}
    assert (list(EVENTS.strategy.validate(old)) == []) is fine


def test_the_core_group_leaves_old_recorders_in_peace() -> None:
    old = event(eventTime=None, count=2, type="Sad", source={"component": "kubelet"}, action=None)
    assert list(EVENTS.strategy.validate(old)) == []


def test_the_series_of_a_newer_event_goes_on_and_little_else_changes() -> None:
    old, more = event(), {"count": 2, "lastObservedTime": TIME}
    assert list(EVENTS_V1.strategy.validate_update(event(series=more), old)) == []
    assert list(EVENTS_V1.strategy.validate_update(event(message="as the v1.20 suite does"), old)) == []
    assert refused(EVENTS_V1.strategy.validate_update(event(reason="No", series={"count": 0}), old)) == [
        'series.count: Invalid value: "": should be at least 2',
        "series.lastObservedTime: Required value",
        'reason: Invalid value: "No": field is immutable',
    ]
    assert list(EVENTS.strategy.validate_update(event(reason="No"), old)) == []


def test_each_group_selects_by_its_own_names() -> None:
    core, newer = EVENTS.strategy.fields(event()), EVENTS_V1.strategy.fields(event())
    assert core["involvedObject.name"] == newer["regarding.name"] == "web"
    assert core["source"] == newer["reportingController"] == "example.com/robot"
    assert not {"source", "involvedObject.name", "reportingComponent"} & newer.keys()
