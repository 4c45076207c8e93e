"""Events: what happened to an object and how often; the store forgets them after an hour.

Upstream: pkg/registry/core/event.
"""

from __future__ import annotations

from collections.abc import Mapping

from apiserver.kinds.cells import NAME
from apiserver.model import checks
from apiserver.model.kind import Column, Kind, Strategy
from apiserver.model.printing import age
from apiserver.schema.codec import upstream
from machinery.errors import FieldError
from machinery.objects import Object

SUBJECT_FIELDS = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
# The namespaces of events about cluster-wide objects; the second is only for events with an eventTime.
CLUSTER_NAMESPACES = ("default", "kube-system")
# How many bytes the texts of the newer form may have.
_LIMITS = {"reportingInstance": 128, "action": 128, "reason": 128, "message": 1024}


class EventStrategy(Strategy):
    create_on_update = True
    ttl = 3600

    def validate(self, obj: Object) -> checks.Errors:
        """Check that an event is in its subject's namespace, or in ``default`` if its subject has none."""
        if obj.get("eventTime"):
            yield from _validate_new_form(obj)
            return
        namespace, subject = obj["metadata"].get("namespace", ""), _namespace_of_subject(obj)
        if namespace != (subject or CLUSTER_NAMESPACES[0]):
            yield _elsewhere(subject)

    def fields(self, obj: Object) -> Mapping[str, str]:
        subject = obj.get("involvedObject", {})
        source = obj.get("source", {}).get("component") or obj.get("reportingComponent", "")
        return {
            **{f"involvedObject.{field}": subject.get(field, "") for field in SUBJECT_FIELDS},
            "reason": obj.get("reason", ""),
            "reportingComponent": obj.get("reportingComponent", ""),
            "source": source,
            "type": obj.get("type", ""),
        }


def _validate_new_form(event: Object) -> checks.Errors:
    """Check what a recorder of the newer API has to say; such an event has an ``eventTime``."""
    if not _namespace_of_subject(event) and event["metadata"].get("namespace", "") not in CLUSTER_NAMESPACES:
        yield _elsewhere("")
    controller = event.get("reportingComponent") or ""
    yield from checks.required("reportingController", controller)
    yield from checks.qualified_name("reportingController", controller)
    for field, limit in _LIMITS.items():
        text = event.get(field) or ""
        if not text and field != "message":
            yield FieldError.required(field)
        elif len(text.encode()) > limit:
            yield FieldError.invalid(field, "", f"can have at most {limit} characters")


def _namespace_of_subject(event: Object) -> str:
    return str(event.get("involvedObject", {}).get("namespace") or "")


def _elsewhere(namespace: str) -> FieldError:
    return FieldError.invalid("involvedObject.namespace", namespace, "does not match event.namespace")


def _subject(event: Object) -> str:
    subject = event.get("involvedObject", {})
    kind = str(subject.get("kind", "")).lower()
    return f"{kind}/{subject['name']}" if subject.get("name") else kind


def _first(event: Object) -> str:
    return age(event.get("firstTimestamp") or event.get("eventTime"))


def _last(event: Object) -> str:
    series = event.get("series")
    if series:
        return age(series.get("lastObservedTime"))
    return age(event["lastTimestamp"]) if event.get("lastTimestamp") else _first(event)


def _count(event: Object) -> int:
    return int((event.get("series") or event).get("count") or 1)


def _source(event: Object) -> str:
    source = event.get("source", {})
    component = source.get("component") or event.get("reportingComponent") or ""
    instance = source.get("host") or event.get("reportingInstance") or ""
    return ", ".join(filter(None, (component, instance)))


EVENTS = Kind(
    *upstream("", "Event"),
    short_names=("ev",),
    strategy=EventStrategy(),
    columns=(
        Column("Last Seen", _last),
        Column("Type", lambda obj: obj.get("type", "")),
        Column("Reason", lambda obj: obj.get("reason", "")),
        Column("Object", _subject),
        Column("Subobject", lambda obj: obj.get("involvedObject", {}).get("fieldPath", ""), priority=1),
        Column("Source", _source, priority=1),
        Column("Message", lambda obj: str(obj.get("message", "")).strip()),
        Column("First Seen", _first, priority=1),
        Column("Count", _count, priority=1),
        Column(NAME.name, NAME.value, format="name", priority=1, description=NAME.description),
    ),
)
