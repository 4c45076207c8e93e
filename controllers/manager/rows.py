"""The controllers of this cluster, in the order in which they start."""

from __future__ import annotations

import json
from collections.abc import Iterable

from controllers.certificates.csrapproving import APPROVING
from controllers.certificates.csrcleaner import CLEANER
from controllers.certificates.csrsigning import SIGNING
from controllers.garbagecollector.garbagecollector import GARBAGE_COLLECTOR
from controllers.namespaces.namespace import NAMESPACE_CONTROLLER
from controllers.namespaces.resourcequota import RESOURCE_QUOTA
from controllers.namespaces.rootca import ROOT_CA
from controllers.namespaces.serviceaccount import SERVICE_ACCOUNT
from controllers.namespaces.serviceaccounttokens import SERVICE_ACCOUNT_TOKENS
from controllers.nodes.nodelifecycle import NODE_LIFECYCLE
from controllers.nodes.podgc import POD_GARBAGE_COLLECTOR
from controllers.nodes.tainteviction import TAINT_EVICTION
from controllers.scheduler.scheduler import SCHEDULER
from controllers.services.endpoints import ENDPOINTS_CONTROLLER
from controllers.services.endpointslice import ENDPOINT_SLICE
from controllers.services.endpointslicemirroring import ENDPOINT_SLICE_MIRRORING
from controllers.shared.descriptor import ControllerDescriptor
from controllers.workloads.disruption import DISRUPTION
from controllers.workloads.replicaset import REPLICA_SET
from controllers.workloads.replicationcontroller import REPLICATION_CONTROLLER
from machinery.policyrules import Rule

ROWS = (
    SERVICE_ACCOUNT,
    SERVICE_ACCOUNT_TOKENS,
    ROOT_CA,
    REPLICATION_CONTROLLER,
    REPLICA_SET,
    DISRUPTION,
    SCHEDULER,
    ENDPOINT_SLICE,
    ENDPOINTS_CONTROLLER,
    ENDPOINT_SLICE_MIRRORING,
    NAMESPACE_CONTROLLER,
    NODE_LIFECYCLE,
    TAINT_EVICTION,
    RESOURCE_QUOTA,
    SIGNING,
    APPROVING,
    CLEANER,
    POD_GARBAGE_COLLECTOR,
    GARBAGE_COLLECTOR,
)
# What the article's walk-through needs: pods that run under a ReplicationController, behind a Service, in a namespace.
# They watch kinds of the API server's core only. With its feature of service accounts, pods need two controllers more:
# --controllers=core,serviceaccount,root-ca-cert-publisher.
CORE = (
    REPLICATION_CONTROLLER,
    SCHEDULER,
    ENDPOINT_SLICE,
    ENDPOINTS_CONTROLLER,
    NAMESPACE_CONTROLLER,
)
# Names of --controllers that stand for several.
SETS = {"*": ROWS, "core": CORE}


def selected(asked: Iterable[str]) -> list[ControllerDescriptor]:
    """Return the controllers that the items of ``--controllers`` ask for, in the order of their start.

    ``*`` is all, ``core`` is the few that the article needs, a name (or one of its aliases) is that one, and a name
    behind a dash is not that one, wherever it stands. Raises ValueError for an unknown name.
    """
    items = [item for item in asked if item]
    by_name = {name: {row.name} for row in ROWS for name in (row.name, *row.aliases)}
    by_name |= {name: {row.name for row in rows} for name, rows in SETS.items()}
    if unknown := {item.removeprefix("-") for item in items} - by_name.keys():
        there_are = ", ".join(sorted(row.name for row in ROWS))
        raise ValueError(
            f"no controller is called {', '.join(sorted(unknown))}; there are {there_are}, "
            f"and the sets {', '.join(SETS)}: see ROWS and SETS in controllers/manager/rows.py"
        )
    wanted = {name for item in items if not item.startswith("-") for name in by_name[item]}
    unwanted = {name for item in items if item.startswith("-") for name in by_name[item.removeprefix("-")]}
    return [row for row in ROWS if row.name in wanted - unwanted]


def roles() -> dict[str, list[Rule]]:
    """Return the rules of each controller's ClusterRole by the role's name, sorted; shared accounts add theirs up."""
    found: dict[str, list[Rule]] = {}
    for row in ROWS:
        if row.role:
            rules = found.setdefault(row.role, [])
            rules += [rule for rule in row.rules if rule not in rules]
    return dict(sorted(found.items()))


def roles_document() -> str:
    """Return the JSON text of ``apiserver/authorization/controllerroles.json``."""
    return json.dumps(roles(), indent=1) + "\n"
