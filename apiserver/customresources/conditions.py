"""Decide which names a definition gets, and with them its conditions and whether it is served. Pure functions.

Upstream: apiextensions-apiserver pkg/controller, status/naming_controller.go, establish and apiapproval.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

from apiserver.crdschema.definition import approval, is_protected, is_true
from machinery.errors import quote
from machinery.objects import Object, get_condition, set_condition

_CONDITION_OF_APPROVAL = "KubernetesAPIApprovalPolicyConformant"
_APPROVAL = {
    "Approved": ("True", "ApprovedAnnotation"),
    "Unapproved": ("False", "UnapprovedAnnotation"),
    "Missing": ("False", "MissingAnnotation"),
    "Invalid": ("False", "InvalidAnnotation"),
}


def decide(crd: Object, others: Iterable[Object]) -> Object:
    """Return the definition with the acceptedNames and conditions that it should have.

    ``others`` are all other definitions, of any group. A name that one of the same group has got is a conflict.
    """
    decided = copy.deepcopy(crd)
    group = crd["spec"]["group"]
    taken = [_accepted(each) for each in others if each["spec"]["group"] == group]
    resources = {name for names in taken for name in _resource_names(names)}
    kinds = {name for names in taken for name in (names.get("kind"), names.get("listKind"))}
    status = decided.setdefault("status", {})
    status["acceptedNames"], reason, message = _names(crd["spec"]["names"], _accepted(crd), resources, kinds)
    accepted = reason == "NoConflicts"
    set_condition(decided, "NamesAccepted", "True" if accepted else "False", reason, message)
    if accepted:
        set_condition(decided, "Established", "True", "InitialNamesAccepted", "the initial names have been accepted")
    elif get_condition(crd, "Established") is None:
        set_condition(decided, "Established", "False", "NotAccepted", "not all names are accepted")
    if is_protected(group):
        state, why = approval(crd)
        set_condition(decided, _CONDITION_OF_APPROVAL, *_APPROVAL[state], why)
    return decided


def is_served(crd: Object) -> bool:
    """Return True if requests for the definition's resource are served."""
    return is_true(crd, "Established") or is_true(crd, "NamesAccepted")


def _accepted(crd: Object) -> Object:
    names: Object = (crd.get("status") or {}).get("acceptedNames") or {}
    return names


def _resource_names(names: Object) -> list[str]:
    return [names.get("plural", ""), names.get("singular", ""), *(names.get("shortNames") or ())]


def _names(wanted: Object, accepted: Object, resources: set[str], kinds: set[str | None]) -> tuple[Object, str, str]:
    """Return the wanted names without conflicts, and the reason and message about the last conflict, if any."""
    names: Object = {"plural": "", "kind": "", **accepted}
    reason, message = "NoConflicts", "no conflicts found"
    for field, title, others in (
        ("plural", "Plural", resources),
        ("singular", "Singular", resources),
        ("shortNames", "ShortNames", resources),
        ("kind", "Kind", kinds),
        ("listKind", "ListKind", kinds),
    ):
        value = wanted.get(field)
        before = accepted.get(field) or ()
        each = [name for name in value or () if name not in before] if field == "shortNames" else [value]
        conflicts = [] if value == accepted.get(field) else [name for name in each if name in others]
        if conflicts:
            texts = [f"{quote(str(name))} is already in use" for name in conflicts]
            reason, message = f"{title}Conflict", texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        elif value:
            names[field] = value
        else:
            names.pop(field, None)
    if wanted.get("categories"):
        names["categories"] = wanted["categories"]
    else:
        names.pop("categories", None)
    return names, reason, message
