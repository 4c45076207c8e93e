"""Discovery documents in upstream's two forms: one for each group version, or one for all.

Old clients read ``/api``, ``/apis`` and each group version's resource list; kubectl since 1.27 asks ``/api`` and
``/apis`` for an APIGroupDiscoveryList and is done in two requests. Both are made from the rows of the registry.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

from apiserver.model.kind import Kind, Subresource
from machinery.objects import Object

VERSION: Object = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.0",
    "gitCommit": "70d3cc986aa8221cd1dfb1121852688902d3bf53",  # of the tag v1.32.0, because clients expect one
    "gitTreeState": "clean",
    "buildDate": "2024-12-11T17:59:15Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}


def groups(kinds: Iterable[Kind]) -> dict[str, list[str]]:
    """Return group → versions, the preferred one first; the core group is ""."""
    found: dict[str, list[str]] = {}
    for kind in kinds:
        versions = found.setdefault(kind.group, [])
        versions += [version for version in kind.versions if version not in versions]
    return found


def core_versions(server_address: str) -> Object:
    """Return the document of ``/api``."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    }


def group_list(kinds: Iterable[Kind]) -> Object:
    """Return the document of ``/apis``."""
    named = [_group(name, versions) for name, versions in groups(kinds).items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": named}


def group(kinds: Iterable[Kind], name: str) -> Object | None:
    """Return the document of ``/apis/<group>``, None if nothing of the group is served."""
    versions = groups(kinds).get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)} if versions else None


def _group(name: str, versions: list[str]) -> Object:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def resource_list(kinds: Iterable[Kind], group: str, version: str) -> Object | None:
    """Return the document of ``/api/v1`` or ``/apis/<group>/<version>``, None if nothing of it is served."""
    served = [kind for kind in kinds if kind.group == group and version in kind.versions]
    if not served:
        return None
    resources: list[Object] = []
    for kind in served:
        resources.append(_resource(kind))
        resources += [_subresource(kind, sub, version) for sub in kind.subresources]
    return {
        "kind": "APIResourceList",
        **({"apiVersion": "v1"} if group else {}),
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": sorted(resources, key=lambda resource: str(resource["name"])),
    }


def _resource(kind: Kind) -> Object:
    resource: Object = {
        "name": kind.plural,
        "singularName": kind.singular or kind.kind.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": _verbs(kind),
    }
    if kind.short_names:
        resource["shortNames"] = list(kind.short_names)
    if kind.categories:
        resource["categories"] = list(kind.categories)
    if "list" in kind.verbs and not kind.computed:
        resource["storageVersionHash"] = _storage_version_hash(kind.stored_as or kind)
    return resource


def _verbs(kind: Kind) -> list[str]:
    # A definition that is being deleted still serves these verbs for the objects that exist, but does not list them.
    return sorted(verb for verb in kind.verbs if not kind.terminating or verb not in ("create", "patch", "update"))


def _storage_version_hash(kind: Kind) -> str:
    """Return upstream's hash of the stored ``group/version/kind``, by which clients notice that it changes."""
    stored = f"{kind.group}/{kind.codec.storage_version(kind)}/{kind.kind}"
    digest = hashlib.sha256(stored.encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def _subresource(kind: Kind, subresource: Subresource, version: str) -> Object:
    resource: Object = {
        "name": f"{kind.plural}/{subresource.name}",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": subresource.kind or kind.kind,
        "verbs": sorted(subresource.verbs),
    }
    if subresource.kind and (subresource.group, subresource.version) != (kind.group, version):
        resource["group"], resource["version"] = subresource.group, subresource.version
    return resource


def aggregated(kinds: Iterable[Kind], *, core: bool, version: str = "v2") -> Object:
    """Return ``/api`` (the core group) or ``/apis`` (all others) as an APIGroupDiscoveryList, v2 or v2beta1."""
    rows = [kind for kind in kinds if bool(kind.group) != core]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": name, "creationTimestamp": None} if name else {"creationTimestamp": None},
                "versions": [_aggregated_version(rows, name, version) for version in versions],
            }
            for name, versions in groups(rows).items()
        ],
    }


def _aggregated_version(kinds: list[Kind], group: str, version: str) -> Object:
    served = [kind for kind in kinds if kind.group == group and version in kind.versions]
    return {
        "version": version,
        "resources": [_aggregated_resource(kind, version) for kind in sorted(served, key=lambda kind: kind.plural)],
        "freshness": "Current",
    }


def _aggregated_resource(kind: Kind, version: str) -> Object:
    resource: Object = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular or kind.kind.lower(),
        "verbs": _verbs(kind),
    }
    if kind.short_names:
        resource["shortNames"] = list(kind.short_names)
    if kind.categories:
        resource["categories"] = list(kind.categories)
    if kind.subresources:
        resource["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": {
                    "group": sub.group if sub.kind else kind.group,
                    "version": sub.version if sub.kind else version,
                    "kind": sub.kind or kind.kind,
                },
                "verbs": sorted(sub.verbs),
            }
            for sub in sorted(kind.subresources, key=lambda sub: sub.name)
        ]
    return resource
