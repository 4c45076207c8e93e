"""What a deletion does: an object with finalizers or a grace period is only marked, others are removed.

These are pure decisions, after upstream's ``rest.BeforeDelete`` and ``registry/generic/registry/store.go``:
preconditions first, then the finalizers that the propagation policy wants, then the grace period of the kind's
strategy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from apiserver.model import query as parameters
from apiserver.model.kind import Kind
from apiserver.registry import options
from machinery.errors import conflict
from machinery.objects import Object, format_time, parse_time

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"


@dataclass(frozen=True)
class DeleteOptions:
    """How to delete, as the client says. None or empty: it does not say."""

    grace_period: int | None = None
    uid: str = ""
    resource_version: str = ""
    policy: str = ""  # Foreground, Background, Orphan; empty: the kind's own
    dry_run: bool = False
    # The deprecated orphanDependents=false, which is answered with 202 when the object stays for a while.
    cascading: bool = False


def parse_options(
    body: Mapping[str, Any] | None, query: Mapping[str, str], dry_run: Sequence[str] = ()
) -> DeleteOptions:
    """Return the options in a DeleteOptions object, or in the query when there is no body.

    ``dry_run`` are all values of that query parameter. Raises Invalid or BadRequest.
    """
    source = _from_query(query, dry_run) if body is None else body
    # Upstream deletes for good on ``?dryRun=all`` with a body; here a dry run that is asked for wrongly is refused.
    options.check_delete(source, dry_run)
    policy, orphan = source.get("propagationPolicy") or "", source.get("orphanDependents")
    if orphan is not None:
        policy = "Orphan" if orphan else "Background"
    grace = source.get("gracePeriodSeconds")
    preconditions = source.get("preconditions") or {}
    return DeleteOptions(
        1 if grace is not None and grace < 0 else grace,  # as upstream, which takes a negative time for a second
        preconditions.get("uid") or "",
        preconditions.get("resourceVersion") or "",
        policy,
        "All" in (source.get("dryRun") or ()) or "All" in dry_run,
        orphan is not None and policy == "Background",
    )


def _from_query(query: Mapping[str, str], dry_run: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "dryRun": list(dry_run),
        "gracePeriodSeconds": parameters.integer(query, "gracePeriodSeconds"),
    }
    if "orphanDependents" in query:
        found["orphanDependents"] = parameters.flag(query, "orphanDependents")
    return found | ({"propagationPolicy": query["propagationPolicy"]} if query.get("propagationPolicy") else {})


def check_preconditions(kind: Kind, obj: Object, options: DeleteOptions) -> None:
    """Raise Conflict unless the object has the uid and resourceVersion that the client states."""
    metadata = obj["metadata"]
    for what, wanted, found in (
        ("UID", options.uid, metadata.get("uid")),
        ("ResourceVersion", options.resource_version, metadata.get("resourceVersion")),
    ):
        if wanted and wanted != found:
            why = f"Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
            raise conflict(kind.resource, metadata["name"], why)


@dataclass(frozen=True)
class Deletion:
    """What to do: remove the object, or store ``marked`` in its place (None: there is nothing to change)."""

    remove: bool
    marked: Object | None = None


def plan(kind: Kind, obj: Object, options: DeleteOptions, now: datetime | None = None) -> Deletion:
    """Decide about one object. ``obj`` is a copy, which is changed in place."""
    strategy, metadata = kind.strategy, obj["metadata"]
    before = (metadata.get("deletionTimestamp"), metadata.get("deletionGracePeriodSeconds"), metadata.get("finalizers"))
    grace = max(0, strategy.graceful_period(obj, options.grace_period))
    finalizers = _finalizers(kind, metadata.get("finalizers") or [], options.policy)
    keeps = bool(finalizers) or not strategy.may_remove(obj)
    if not keeps and not grace:
        return Deletion(remove=True)
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    _mark(metadata, grace, now or datetime.now(UTC))
    strategy.prepare_delete(obj)
    after = (metadata.get("deletionTimestamp"), metadata.get("deletionGracePeriodSeconds"), metadata.get("finalizers"))
    return Deletion(remove=False, marked=obj if after != before else None)


def _mark(metadata: Object, grace: int, now: datetime) -> None:
    """Set the time at which the object should be gone; a second deletion can only make it earlier."""
    marked = metadata.get("deletionTimestamp")
    if not marked:
        metadata["deletionTimestamp"] = format_time(now + timedelta(seconds=grace))
        metadata["deletionGracePeriodSeconds"] = grace
        if metadata.get("generation"):
            metadata["generation"] += 1
        return
    period = metadata.get("deletionGracePeriodSeconds") or 0
    if grace < period:
        asked = parse_time(marked) - timedelta(seconds=period)
        metadata["deletionTimestamp"] = format_time(max(asked + timedelta(seconds=grace), asked))
        metadata["deletionGracePeriodSeconds"] = grace


def _finalizers(kind: Kind, present: list[str], policy: str) -> list[str]:
    others = [name for name in present if name not in (FOREGROUND, ORPHAN)]
    if policy == "Foreground":
        return [*others, FOREGROUND]
    if policy == "Orphan" or (not policy and kind.strategy.orphan_by_default and not present):
        return [*others, ORPHAN]
    return others if policy else list(present)


def may_go(kind: Kind, obj: Object) -> bool:
    """Return whether an update has removed the last thing that kept a deleted object: finalizer or grace period."""
    metadata = obj["metadata"]
    return bool(
        metadata.get("deletionTimestamp")
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
        and kind.strategy.may_remove(obj)
    )
