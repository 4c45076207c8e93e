"""The rows of every kind that is served, in the order of discovery: by group, then by plural."""

from apiserver.kinds.certificatesigningrequests import CERTIFICATE_SIGNING_REQUESTS
from apiserver.kinds.componentstatuses import COMPONENT_STATUSES
from apiserver.kinds.configmaps import CONFIG_MAPS
from apiserver.kinds.customresourcedefinitions import CUSTOM_RESOURCE_DEFINITIONS
from apiserver.kinds.endpoints import ENDPOINTS
from apiserver.kinds.endpointslices import ENDPOINT_SLICES
from apiserver.kinds.events import EVENTS
from apiserver.kinds.events_v1 import EVENTS_V1
from apiserver.kinds.leases import LEASES
from apiserver.kinds.limitranges import LIMIT_RANGES
from apiserver.kinds.namespaces import NAMESPACES
from apiserver.kinds.nodes import NODES
from apiserver.kinds.persistentvolumeclaims import PERSISTENT_VOLUME_CLAIMS
from apiserver.kinds.pods.row import BINDINGS, PODS
from apiserver.kinds.podtemplates import POD_TEMPLATES
from apiserver.kinds.priorityclasses import PRIORITY_CLASSES
from apiserver.kinds.rbac import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from apiserver.kinds.replicasets import REPLICA_SETS
from apiserver.kinds.replicationcontrollers import REPLICATION_CONTROLLERS
from apiserver.kinds.resourcequotas import RESOURCE_QUOTAS
from apiserver.kinds.reviews import (
    LOCAL_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_REVIEWS,
    SELF_SUBJECT_RULES_REVIEWS,
    SUBJECT_ACCESS_REVIEWS,
    TOKEN_REVIEWS,
)
from apiserver.kinds.runtimeclasses import RUNTIME_CLASSES
from apiserver.kinds.secrets import SECRETS
from apiserver.kinds.serviceaccounts import SERVICE_ACCOUNTS
from apiserver.kinds.services.row import SERVICES
from apiserver.kinds.usage import NODE_METRICS, POD_METRICS
from apiserver.kinds.workloads import WORKLOADS
from apiserver.model.kind import Kind

ROWS: tuple[Kind, ...] = (
    BINDINGS,
    COMPONENT_STATUSES,
    CONFIG_MAPS,
    ENDPOINTS,
    EVENTS,
    LIMIT_RANGES,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    POD_TEMPLATES,
    REPLICATION_CONTROLLERS,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    *WORKLOADS,
    REPLICA_SETS,
    SELF_SUBJECT_REVIEWS,
    TOKEN_REVIEWS,
    LOCAL_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_RULES_REVIEWS,
    SUBJECT_ACCESS_REVIEWS,
    CUSTOM_RESOURCE_DEFINITIONS,
    CERTIFICATE_SIGNING_REQUESTS,
    LEASES,
    ENDPOINT_SLICES,
    EVENTS_V1,
    NODE_METRICS,
    POD_METRICS,
    RUNTIME_CLASSES,
    PRIORITY_CLASSES,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
)
