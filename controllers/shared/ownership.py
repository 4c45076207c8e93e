"""Decide which dependents an owner has, adopts and releases.

Upstream: ControllerRefManager (pkg/controller/controller_ref_manager.go). An owner keeps the dependents that have its
controllerRef and match its selector, releases those that have it and do not match, and adopts matching orphans. While
it is being deleted it neither adopts nor releases; and a dependent that is being deleted is not adopted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from machinery.objects import Object, controller_of, owner_reference
from machinery.selectors import Selector


@dataclass
class Claims:
    """The dependents of one owner, by what is to be done with them."""

    owned: list[Object] = field(default_factory=list)
    adopt: list[Object] = field(default_factory=list)
    release: list[Object] = field(default_factory=list)


def claim(owner: Object, selector: Selector, dependents: Iterable[Object]) -> Claims:
    """Sort the dependents; those that do not concern this owner are left out."""
    claims = Claims()
    deleting = bool(owner["metadata"].get("deletionTimestamp"))
    for dependent in dependents:
        meta = dependent["metadata"]
        matches = selector.matches(meta.get("labels", {}))
        reference = controller_of(dependent)
        if reference is None:
            if matches and not deleting and not meta.get("deletionTimestamp"):
                claims.adopt.append(dependent)
        elif reference["uid"] == owner["metadata"]["uid"]:
            if matches:
                claims.owned.append(dependent)
            elif not deleting:
                claims.release.append(dependent)
    return claims


def adoption_patch(owner: Object, dependent: Object) -> dict[str, Any]:
    """Return the strategic merge patch that sets the controllerRef.

    Because of the uid, it fails if another object has the dependent's name by now.
    """
    return {"metadata": {"uid": dependent["metadata"]["uid"], "ownerReferences": [owner_reference(owner)]}}


def release_patch(owner_uids: Iterable[str], dependent_uid: str) -> dict[str, Any]:
    """Return the strategic merge patch that removes the references to these owners."""
    deletions = [{"$patch": "delete", "uid": uid} for uid in owner_uids]
    return {"metadata": {"uid": dependent_uid, "ownerReferences": deletions}}
