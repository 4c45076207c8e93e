"""Ask the API server which resources it has, and what can be done with them (upstream: client-go discovery).

A resource that several versions of its group serve counts once, in the first version that has it; the preferred one
comes first.
"""

from __future__ import annotations

from collections.abc import Iterable

from machinery.client import Client
from machinery.errors import NotFound
from machinery.resources import Resource

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
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
    # Two requests, however many groups there are: each document has the groups with their versions and resources.
    found = [each for root in ("/api", "/apis") for each in client.request("GET", root, accept=AGGREGATED)["items"]]
    for group in found:
        group_name = group["metadata"].get("name", "")
        for version in group["versions"]:
            for each in version.get("resources", ()):
                name, is_namespaced = each["resource"], each["scope"] == "Namespaced"
                resource = Resource(group_name, version["version"], name, each["responseKind"]["kind"], is_namespaced)
                rows.append((resource, set(each["verbs"]), (group_name, name) not in seen))
                seen.add((group_name, name))
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
