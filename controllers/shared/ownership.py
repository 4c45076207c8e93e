"""Who manages which dependent: upstream's ControllerRefManager (pkg/controller/controller_ref_manager.go).

An owner keeps what carries its controllerRef and matches its selector, releases what carries it and no longer
matches, and adopts matching orphans. Nothing is adopted or released once the owner is being deleted, nor is a
dependent that is being deleted adopted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from machinery.objects import Object, controller_of, owner_reference
from machinery.selectors import Selector


@dataclass
class Claims:
    """Dependents by what is to be done about them."""

    owned: list[Object] = field(default_factory=list)
    adopt: list[Object] = field(default_factory=list)
    release: list[Object] = field(default_factory=list)


def claim(owner: Object, selector: Selector, dependents: Iterable[Object]) -> Claims:
    """Sorts the dependents that concern this owner."""
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
    """A strategic merge patch; the uid makes it fail if another object has taken the name."""
    return {"metadata": {"uid": dependent["metadata"]["uid"], "ownerReferences": [owner_reference(owner)]}}


def release_patch(owner_uids: Iterable[str], dependent_uid: str) -> dict[str, Any]:
    """A strategic merge patch that removes the references to these owners."""
    deletions = [{"$patch": "delete", "uid": uid} for uid in owner_uids]
    return {"metadata": {"uid": dependent_uid, "ownerReferences": deletions}}
