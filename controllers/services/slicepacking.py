"""Pack endpoints into EndpointSlices with as few writes as possible.

Every write of a slice goes to every node, so this is worth some care. The rules are upstream's
(staging/src/k8s.io/endpointslice/reconciler.go). Slices with the same address type and ports form a group; a group's
endpoints are packed like this:

1. An endpoint stays in the slice in which it is. Endpoints that are no longer wanted are removed; a slice that
   becomes empty is deleted.
2. New endpoints go into the slices that change anyway, the fullest first.
3. If endpoints are left and an unchanged slice has room for all of them, it takes them.
4. The others go into new slices.
5. If one slice would be deleted and another of the same address type created, the old one is rewritten instead.

If there are no endpoints at all, one empty slice of the address type ``placeholder`` is kept or created.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from machinery.objects import Object

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"


@dataclass
class Changes:
    """The slices to create (they have a generateName), to update (with their resourceVersion), and to delete."""

    create: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)


@dataclass
class Group:
    """The endpoints for the slices of one address type and one list of ports."""

    address_type: str
    ports: list[Object]
    endpoints: dict[str, Object] = field(default_factory=dict)

    def add(self, endpoint: Object) -> None:
        """Add an endpoint. One with the same pod and addresses replaces the earlier one."""
        self.endpoints[identity(endpoint)] = endpoint


class Groups(dict[str, Group]):
    """Groups by address type and ports; the order of the ports does not matter."""

    def of(self, address_type: str, ports: Iterable[Object]) -> Group:
        """Return the group of this address type and these ports; it is created if it is missing."""
        listed = list(ports)
        return self.setdefault(group_key(address_type, listed), Group(address_type, listed))


def group_key(address_type: str, ports: Iterable[Object] | None) -> str:
    """Return a text that is equal for the same address type and the same ports in any order."""
    return json.dumps([address_type, sorted(json.dumps(port, sort_keys=True) for port in ports or ())])


def identity(endpoint: Object) -> str:
    """Return a text that identifies an endpoint by its addresses and its pod, whatever its conditions are."""
    target = endpoint.get("targetRef", {})
    return json.dumps([sorted(endpoint["addresses"]), target.get("namespace"), target.get("name")])


def pack(groups: Groups, existing: Iterable[Object], template: Object, most: int, placeholder: str = "") -> Changes:
    """Return the writes that turn the existing slices into these groups, with at most ``most`` endpoints in a slice.

    ``template`` has the labels, the annotations and the owner of every slice. ``placeholder`` is the address type of an
    empty slice, or "" if none is wanted.
    """
    groups = Groups({name: group for name, group in groups.items() if group.endpoints})
    by_group: dict[str, list[Object]] = {}
    for each in existing:
        by_group.setdefault(group_key(each["addressType"], each.get("ports")), []).append(each)
    if not groups and placeholder:
        groups.of(placeholder, ())
    changes = Changes()
    for name, slices in by_group.items():
        if name not in groups:
            changes.delete += slices
    for name, group in groups.items():
        _pack_group(group, by_group.get(name, []), template, most, changes)
    _reuse_deleted(changes, template)
    return changes


def _pack_group(group: Group, existing: list[Object], template: Object, most: int, changes: Changes) -> None:
    rest = dict(group.endpoints)
    changed: list[Object] = []
    unchanged: list[Object] = []
    for old in existing:
        old_endpoints = old.get("endpoints", [])
        # An endpoint that is in two slices stays in the first, because pop takes it off the rest.
        kept = [rest.pop(name) for name in map(identity, old_endpoints) if name in rest]
        if old_endpoints and not kept:
            changes.delete.append(old)
        elif kept != old_endpoints or not _carries(old, template):
            changed.append(_filled(old, template, kept))
        else:
            unchanged.append(old)
    for each in sorted(changed, key=lambda slice: -len(slice["endpoints"])):
        _fill(each, rest, most)
    if rest and (roomy := _best_fit(unchanged, len(rest), most)) is not None:
        changed.append(_filled(roomy, template, roomy.get("endpoints", [])))
        _fill(changed[-1], rest, most)
    changes.update += changed
    while rest:
        changes.create.append(_new(group, template))
        _fill(changes.create[-1], rest, most)
    if not group.endpoints:
        _keep_one_empty(group, unchanged + changed, template, changes)


def _keep_one_empty(group: Group, have: list[Object], template: Object, changes: Changes) -> None:
    changes.delete += have[1:]
    changes.update = [each for each in changes.update if each not in have[1:]]
    if not have:
        changes.create.append(_new(group, template))


def _fill(slice: Object, rest: dict[str, Object], most: int) -> None:
    while rest and len(slice["endpoints"]) < most:
        slice["endpoints"].append(rest.pop(next(iter(rest))))


def _best_fit(slices: list[Object], count: int, most: int) -> Object | None:
    """Return the slice that is fullest after it has taken ``count`` endpoints; None if none has room for all."""
    fitting = [each for each in slices if len(each.get("endpoints", ())) + count <= most]
    return max(fitting, key=lambda each: len(each.get("endpoints", ())), default=None)


def _carries(slice: Object, template: Object) -> bool:
    """Return True if the slice has the template's labels, and its annotations if the template has any."""
    return all(slice["metadata"].get(part, {}) == wanted for part, wanted in _copied(template).items())


def _filled(slice: Object, template: Object, endpoints: list[Object]) -> Object:
    return {**slice, "metadata": {**slice["metadata"], **_copied(template)}, "endpoints": list(endpoints)}


def _copied(template: Object) -> dict[str, dict[str, str]]:
    return {part: template["metadata"][part] for part in ("labels", "annotations") if part in template["metadata"]}


def _new(group: Group, template: Object) -> Object:
    return {**template, "addressType": group.address_type, "ports": group.ports, "endpoints": []}


def _reuse_deleted(changes: Changes, template: Object) -> None:
    for old in list(changes.delete):
        new = next((each for each in changes.create if each["addressType"] == old["addressType"]), None)
        if new is not None:
            changes.create.remove(new)
            changes.delete.remove(old)
            changes.update.append({**_filled(old, template, new["endpoints"]), "ports": new["ports"]})
