"""The query of a list or watch, and which objects of a kind it means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from apiserver.model import query as parameters
from apiserver.model.item import Item
from apiserver.model.kind import Kind
from machinery.errors import BadRequest, FieldError, invalid, quote
from machinery.objects import Object
from machinery.selectors import FieldSelector, Selector, parse_field_selector, parse_selector

_MATCH = "resourceVersionMatch"
_UINT64 = re.compile(r"[0-9]{1,20}", re.ASCII)


class Selection(NamedTuple):
    """Which objects of a kind a list or watch is about."""

    labels: Selector
    fields: FieldSelector
    kind: Kind
    visible: Callable[[Object], bool] | None = None  # which objects may be shown; None is all

    @property
    def everything(self) -> bool:
        return self.labels.empty and self.fields.empty and self.visible is None

    def matches(self, item: Item) -> bool:
        """Return whether the object is one of them. Its JSON is parsed only if there is something to look for."""
        if self.everything:
            return True
        obj = self.kind.codec.view(item).object
        metadata = obj["metadata"]
        if not self.labels.matches(metadata.get("labels") or {}):
            return False
        if not self.fields.empty and not self.fields.matches(fields_of(self.kind, obj)):
            return False
        return self.visible is None or self.visible(obj)


class ListOptions(NamedTuple):
    """The checked parameters of a list or watch."""

    selection: Selection
    resource_version: str = ""
    match: str = ""
    limit: int = 0
    continue_: str = ""
    timeout: int = 0
    bookmarks: bool = False
    send_initial_events: bool | None = None

    @property
    def revision(self) -> int:
        return int(self.resource_version or 0)


def fields_of(kind: Kind, obj: Object) -> dict[str, str]:
    """Return the field labels of an object, by which field selectors select."""
    metadata, own = obj.get("metadata") or {}, kind.strategy.fields(obj)
    fields = {"metadata.name": metadata.get("name", ""), **own}
    # As upstream, a kind of the cluster without fields of its own takes the selector, for which it never has a value.
    if kind.namespaced or not own:
        fields["metadata.namespace"] = metadata.get("namespace", "")
    return fields


def parse_list_options(
    kind: Kind, query: Mapping[str, str], visible: Callable[[Object], bool] | None = None, *, watch: bool = False
) -> ListOptions:
    """Return the parameters of a query; raises BadRequest or Invalid with upstream's messages."""
    fields = parse_field_selector(query.get("fieldSelector", ""))
    if not fields.empty:
        fields.check_fields(fields_of(kind, {"metadata": {}}).keys())
    labels = parse_selector(query.get("labelSelector", ""))
    options = ListOptions(
        Selection(labels, fields, kind, visible),
        resource_version(query),
        query.get("resourceVersionMatch", ""),
        max(0, parameters.integer(query, "limit") or 0),
        query.get("continue", ""),
        parameters.integer(query, "timeoutSeconds") or 0,
        parameters.flag(query, "allowWatchBookmarks"),
        parameters.flag(query, "sendInitialEvents") if "sendInitialEvents" in query else None,
    )
    errors = list(_check_watch(options) if watch else _check_list(options))
    if errors:
        raise invalid("ListOptions.meta.k8s.io", "", errors)
    return options


def resource_version(query: Mapping[str, str]) -> str:
    """Return the query's resourceVersion, empty if there is none; raises BadRequest unless it is a number."""
    text = query.get("resourceVersion", "")
    if text and not (_UINT64.fullmatch(text) and int(text) < 1 << 64):
        problem = "value out of range" if text.isascii() and text.isdecimal() else "invalid syntax"
        why = f"strconv.ParseUint: parsing {quote(text)}: {problem}"
        raise BadRequest(str(FieldError.invalid("resourceVersion", text, why)))
    return text


def _check_list(options: ListOptions) -> Iterator[FieldError]:
    """Yield what is wrong with the parameters of a list (upstream: ValidateListOptions)."""
    match = options.match
    if match and not options.resource_version:
        yield FieldError.forbidden(_MATCH, "resourceVersionMatch is forbidden unless resourceVersion is provided")
    if match and options.continue_:
        yield FieldError.forbidden(_MATCH, "resourceVersionMatch is forbidden when continue is provided")
    if match not in ("", "Exact", "NotOlderThan"):
        yield FieldError.not_supported(_MATCH, match, ["Exact", "NotOlderThan", ""])
    if match == "Exact" and options.resource_version == "0":
        yield FieldError.forbidden(_MATCH, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    if options.send_initial_events is not None:
        yield FieldError.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")


def _check_watch(options: ListOptions) -> Iterator[FieldError]:
    """Yield what is wrong with the parameters of a watch (upstream: validateWatchOptions)."""
    match, initial = options.match, options.send_initial_events is not None
    if initial and match != "NotOlderThan":
        yield FieldError.forbidden(_MATCH, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
    if match and not initial:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        yield FieldError.forbidden(_MATCH, why)
    if match not in ("", "NotOlderThan"):
        yield FieldError.not_supported(_MATCH, match, ["NotOlderThan"])
    if match and options.continue_:
        yield FieldError.forbidden(_MATCH, "resourceVersionMatch is forbidden when continue is provided")
