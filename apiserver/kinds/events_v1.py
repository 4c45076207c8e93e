"""Events as ``events.k8s.io/v1`` shows them: the core group's objects under newer names, and with stricter rules.

Upstream: pkg/apis/events/v1 for the names, pkg/apis/core/validation/events.go for the rules. What is stored, and what
the strategy sees, is the core form; so are the paths in messages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from apiserver.kinds.events import EVENTS, SUBJECT_FIELDS, EventStrategy
from apiserver.model import checks
from apiserver.model.kind import Column, Kind
from apiserver.schema.codec import upstream
from machinery.errors import FieldError
from machinery.objects import Object

TYPES = ("Normal", "Warning")
# The names of fields in this group → those in the core group.
NAMES = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_CORE_NAMES = {core: name for name, core in NAMES.items()}
# Fields that only recorders of the older API fill in, beside the source.
_DEPRECATED = ("firstTimestamp", "lastTimestamp", "count")
# Upstream's v1.20 suite, which tests this server, changes a note, as upstream compared nothing before v1.21. So the
# message may change here, which v1.32 would refuse.
_IMMUTABLE = (
    *("involvedObject", "reason", "source", "firstTimestamp", "lastTimestamp", "count", "type", "eventTime"),
    *("action", "related", "reportingController", "reportingInstance"),
)


def convert(obj: Object, version: str, inward: bool) -> None:
    """Convert between the two groups, in place; ``version`` is always v1."""
    for name, new in (NAMES if inward else _CORE_NAMES).items():
        if name in obj:
            obj[new] = obj.pop(name)


class EventV1Strategy(EventStrategy):
    def validate(self, obj: Object) -> checks.Errors:
        return chain(super().validate(obj), _validate_series(obj), _validate_create(obj))

    def validate_update(self, new: Object, old: Object) -> checks.Errors:
        return chain(super().validate(new), _validate_change(new, old))

    def fields(self, obj: Object) -> Mapping[str, str]:
        core = super().fields(obj)
        return {
            **{f"regarding.{field}": core[f"involvedObject.{field}"] for field in SUBJECT_FIELDS},
            "reason": core["reason"],
            "reportingController": core["reportingComponent"],
            "type": core["type"],
        }


def _validate_series(event: Object) -> checks.Errors:
    series = event.get("series")
    if series is None:
        return
    if (series.get("count") or 0) < 2:
        yield FieldError.invalid("series.count", "", "should be at least 2")
    yield from checks.required("series.lastObservedTime", series.get("lastObservedTime"))


def _validate_create(event: Object) -> checks.Errors:
    yield from checks.required("eventTime", event.get("eventTime"))
    if event.get("type") not in TYPES:
        yield FieldError.invalid("type", "", f"has invalid value: {event.get('type') or ''}")
    for field in _DEPRECATED:
        if event.get(field):
            yield FieldError.invalid(field, "", "needs to be unset")
    source = event.get("source", {})
    if source.get("component") or source.get("host"):
        yield FieldError.invalid("source", "", "needs to be unset")


def _validate_change(new: Object, old: Object) -> checks.Errors:
    """Check that little else than the series has changed."""
    if new.get("series") != old.get("series"):
        yield from _validate_series(new)
    for path in _IMMUTABLE:
        field = NAMES.get(path, path)
        yield from checks.immutable(path, new.get(field) or None, old.get(field) or None)


def _column(column: Column) -> Column:
    """Adapt a column of the core group's row to objects in this group's form."""
    value: Callable[[Object], Any] = column.value
    return replace(column, value=lambda obj: value({NAMES.get(name, name): part for name, part in obj.items()}))


EVENTS_V1 = Kind(
    *upstream("events.k8s.io", "Event"),
    short_names=EVENTS.short_names,
    strategy=EventV1Strategy(),
    columns=tuple(_column(column) for column in EVENTS.columns),
    stored_as=EVENTS,
    convert=convert,
)
