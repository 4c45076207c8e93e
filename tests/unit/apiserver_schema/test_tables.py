"""Objects as rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from apiserver.api import tables
from apiserver.model import printing
from apiserver.model.kind import Column, Kind
from apiserver.schema.codec import UpstreamCodec
from machinery.objects import format_time

MINUTE, HOUR, DAY = 60, 3600, 86400
YEAR = 365 * DAY


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "<invalid>"), (-1, "0s"), (-0.5, "0s"), (0, "0s"), (1.9, "1s"), (119, "119s"), (120, "2m"), (123, "2m3s"),
        (9 * MINUTE + 59, "9m59s"), (10 * MINUTE + 5, "10m"), (179 * MINUTE, "179m"), (3 * HOUR, "3h"),
        (3 * HOUR + 12 * MINUTE, "3h12m"), (8 * HOUR + 12 * MINUTE, "8h"), (47 * HOUR, "47h"), (48 * HOUR, "2d"),
        (2 * DAY + 5 * HOUR, "2d5h"), (8 * DAY + 5 * HOUR, "8d"), (729 * DAY, "729d"), (2 * YEAR, "2y"),
        (2 * YEAR + DAY, "2y1d"), (8 * YEAR + DAY, "8y"),
    ],
)  # fmt: skip
def test_durations_are_written_as_upstream_writes_them(seconds: float, expected: str) -> None:
    assert printing.human_duration(seconds) == expected


def test_ages() -> None:
    assert printing.age(format_time(datetime.now(UTC) - timedelta(hours=5, minutes=30, seconds=20))) == "5h30m"
    assert printing.age("") == printing.age(None) == "<unknown>"


POD = {
    "metadata": {"name": "a", "creationTimestamp": "2020-01-01T00:00:00Z"},
    "status": {"phase": "Running", "podIP": "1.2.3.4"},
}


def test_generic_columns_stand_around_the_kinds_own(pods: Kind) -> None:
    table = tables.render(pods, [POD], {"resourceVersion": "7", "continue": "c", "x": 1})
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert table["metadata"] == {"resourceVersion": "7", "continue": "c"}
    shown = [(column["name"], column["format"], column["priority"]) for column in table["columnDefinitions"]]
    assert shown == [("Name", "name", 0), ("Status", "", 0), ("Age", "", 0), ("IP", "", 1)]
    (row,) = table["rows"]
    assert row["cells"] == ["a", "Running", printing.age("2020-01-01T00:00:00Z"), "1.2.3.4"]
    assert row["object"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": POD["metadata"],
    }


def test_a_kind_without_columns(services: Kind) -> None:
    table = tables.render(services, [POD], {})
    assert [(column["name"], column["type"]) for column in table["columnDefinitions"]] == [
        ("Name", "string"),
        ("Created At", "date"),
    ]
    assert table["rows"][0]["cells"] == ["a", "2020-01-01T00:00:00Z"]


def test_a_row_of_the_registry_may_bring_name_and_age_itself() -> None:
    def names(*own: str) -> list[str]:
        columns = tuple(Column(name, lambda obj: "") for name in own)
        return [
            column.name
            for column in tables.columns_of(Kind("", "v1", "X", "xs", UpstreamCodec("x.X"), columns=columns))
        ]

    assert names("Age", "Version") == ["Name", "Age", "Version"]
    assert names("Last Seen", "Name") == ["Last Seen", "Name"]


def test_what_a_row_carries(pods: Kind) -> None:
    assert tables.render(pods, [POD], {}, "v1beta1", "Object")["rows"][0]["object"] is POD
    assert tables.render(pods, [POD], {}, "v1", "None")["rows"][0]["object"] is None
    partial = tables.render(pods, [POD], {}, "v1beta1")["rows"][0]["object"]
    assert partial["apiVersion"] == "meta.k8s.io/v1beta1"


def test_only_the_first_event_of_a_watch_has_headers(pods: Kind) -> None:
    assert not tables.render(pods, [POD], {}, headers=False)["columnDefinitions"]


def test_partial_metadata() -> None:
    listed = tables.partial_metadata_list([POD], {"resourceVersion": "7"})
    assert (listed["kind"], listed["metadata"]) == ("PartialObjectMetadataList", {"resourceVersion": "7"})
    assert listed["items"] == [tables.partial_metadata(POD)]
