"""The controllers of this cluster, in the order in which they start. One that is not selected is not even imported."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable

from controllers.shared.descriptor import ControllerDescriptor
from machinery.policyrules import Rule

# Upstream's name of each → the module, below ``controllers``, that ends with its descriptor.
ROWS = {
    "serviceaccount-controller": "namespaces.serviceaccount",
    "serviceaccount-token-controller": "namespaces.serviceaccounttokens",
    "root-ca-certificate-publisher-controller": "namespaces.rootca",
    "replicationcontroller-controller": "workloads.replicationcontroller",
    "replicaset-controller": "workloads.replicaset",
    "disruption-controller": "workloads.disruption",
    "scheduler": "scheduler.scheduler",
    "endpointslice-controller": "services.endpointslice",
    "endpoints-controller": "services.endpoints",
    "endpointslice-mirroring-controller": "services.endpointslicemirroring",
    "namespace-controller": "namespaces.namespace",
    "node-lifecycle-controller": "nodes.nodelifecycle",
    "taint-eviction-controller": "nodes.tainteviction",
    "resourcequota-controller": "namespaces.resourcequota",
    "certificatesigningrequest-signing-controller": "certificates.csrsigning",
    "certificatesigningrequest-approving-controller": "certificates.csrapproving",
    "certificatesigningrequest-cleaner-controller": "certificates.csrcleaner",
    "pod-garbage-collector-controller": "nodes.podgc",
    "garbage-collector-controller": "garbagecollector.garbagecollector",
}
# What the article's walk-through needs: pods that run under a ReplicationController, behind a Service, in a namespace.
# They watch kinds of the API server's core only. With its feature of service accounts, pods need two controllers more:
# --controllers=core,serviceaccount,root-ca-cert-publisher.
CORE = (
    "replicationcontroller-controller",
    "scheduler",
    "endpointslice-controller",
    "endpoints-controller",
    "namespace-controller",
)
# Names of --controllers that stand for several.
SETS = {"*": tuple(ROWS), "core": CORE}


def selected(asked: Iterable[str]) -> list[ControllerDescriptor]:
    """Return the controllers that the items of ``--controllers`` ask for, in the order of their start.

    ``*`` is all, ``core`` is the few that the article needs, a name (or one of its aliases) is that one, and a name
    behind a dash is not that one, wherever it stands. Raises ValueError for an unknown name.
    """
    items = [item for item in asked if item]
    by_name = {name: {name} for name in ROWS} | {name: set(names) for name, names in SETS.items()}
    if any(item.removeprefix("-") not in by_name for item in items):
        by_name |= {alias: {row.name} for row in descriptors() for alias in row.aliases}
    if unknown := {item.removeprefix("-") for item in items} - by_name.keys():
        raise ValueError(
            f"no controller is called {', '.join(sorted(unknown))}; there are {', '.join(sorted(ROWS))}, "
            f"and the sets {', '.join(SETS)}: see ROWS and SETS in controllers/manager/rows.py"
        )
    wanted = {name for item in items if not item.startswith("-") for name in by_name[item]}
    unwanted = {name for item in items if item.startswith("-") for name in by_name[item.removeprefix("-")]}
    return [descriptor(name) for name in ROWS if name in wanted - unwanted]


def descriptor(name: str) -> ControllerDescriptor:
    """Import a controller's module and return its descriptor. Raises LookupError if the module has none so called."""
    module = importlib.import_module(f"controllers.{ROWS[name]}")
    for value in vars(module).values():
        if isinstance(value, ControllerDescriptor) and value.name == name:
            return value
    raise LookupError(f"{module.__file__} has no ControllerDescriptor of the name {name}")


def descriptors() -> list[ControllerDescriptor]:
    """Return all controllers, in the order of their start."""
    return [descriptor(name) for name in ROWS]


def roles() -> dict[str, list[Rule]]:
    """Return the rules of each controller's ClusterRole by the role's name, sorted; shared accounts add theirs up."""
    found: dict[str, list[Rule]] = {}
    for row in descriptors():
        if row.role:
            rules = found.setdefault(row.role, [])
            rules += [rule for rule in row.rules if rule not in rules]
    return dict(sorted(found.items()))


def roles_document() -> str:
    """Return the JSON text of ``apiserver/authorization/controllerroles.json``."""
    return json.dumps(roles(), indent=1) + "\n"
