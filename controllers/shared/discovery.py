"""Ask the API server which resources it has, and what can be done with them (upstream: client-go discovery).

A resource that several versions of its group serve counts once, in the first version that has it; the preferred one
comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from machinery.client import Client
from machinery.errors import NotFound
from machinery.objects import Object
from machinery.resources import Resource

# A resource, its verbs, and whether this version of it is the preferred one.
Row = tuple[Resource, set[str], bool]


def resources_with(client: Client, verbs: Iterable[str]) -> list[Resource]:
    """Return the resources that support all these verbs, each once."""
    wanted = set(verbs)
    return [resource for resource, able, preferred in all_resources(client) if preferred and able >= wanted]


def all_resources(client: Client) -> list[Row]:
    """Return all resources, without subresources, in all versions."""
    rows: list[Row] = []
    seen: set[tuple[str, str]] = set()
    for group, version in group_versions(client):
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        for found in client.request("GET", path).get("resources", ()):
            name = found["name"]
            if "/" not in name:
                resource = Resource(group, version, name, found["kind"], bool(found["namespaced"]))
                rows.append((resource, set(found["verbs"]), (group, name) not in seen))
                seen.add((group, name))
    return rows


def resource_of(client: Client, api_version: str, kind: str) -> tuple[Resource, set[str]] | None:
    """Return the resource of a kind and the names of its subresources, None if the API server has no such kind."""
    group, _, version = api_version.rpartition("/")
    try:
        listed = client.request("GET", f"/apis/{api_version}" if group else f"/api/{version}")["resources"]
    except NotFound:
        return None
    for found in listed:
        if found["kind"] == kind and "/" not in found["name"]:
            name = found["name"]
            parts = {each["name"].partition("/")[2] for each in listed if each["name"].startswith(f"{name}/")}
            return Resource(group, version, name, kind, bool(found["namespaced"])), parts
    return None


def group_versions(client: Client) -> Iterator[tuple[str, str]]:
    """Yield all group versions, the preferred one of each group first."""
    for version in client.request("GET", "/api")["versions"]:
        yield "", version
    for group in client.request("GET", "/apis")["groups"]:
        for version in preferred_first(group):
            yield group["name"], version


def preferred_first(group: Object) -> list[str]:
    """Return a group's versions, the preferred one first."""
    versions = [str(each["version"]) for each in group["versions"]]
    preferred = group.get("preferredVersion", {}).get("version")
    return sorted(versions, key=lambda version: version != preferred)
