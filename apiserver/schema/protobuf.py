"""Read the few protobuf bodies that kubectl and Go's typed clients send.

This server does not offer protobuf, and answers 415 to other bodies in it. But since 1.32 ``kubectl create namespace``
and its like send it whatever the server says, and Go's typed clients do so with every deletion. The type of a field
comes from the schema, so that only its number is needed here.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

from google.protobuf import empty_pb2
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from apiserver.schema.compiled import node_of
from apiserver.schema.tree import Array, Integer, IntOrString, Map, QuantityText, Scalar, SchemaNode, Struct, Text
from machinery.objects import Object, format_time

_MAGIC = b"k8s\0"

_CORE, _META = "io.k8s.api.core.v1", "io.k8s.apimachinery.pkg.apis.meta.v1"
_KINDS = {
    "CertificateSigningRequest": "io.k8s.api.certificates.v1",
    "ClusterRole": "io.k8s.api.rbac.v1",
    "ClusterRoleBinding": "io.k8s.api.rbac.v1",
    "ConfigMap": _CORE,
    "DeleteOptions": _META,
    "Eviction": "io.k8s.api.policy.v1",
    "LocalSubjectAccessReview": "io.k8s.api.authorization.v1",
    "Namespace": _CORE,
    "PriorityClass": "io.k8s.api.scheduling.v1",
    "ResourceQuota": _CORE,
    "Role": "io.k8s.api.rbac.v1",
    "RoleBinding": "io.k8s.api.rbac.v1",
    "Secret": _CORE,
    "SelfSubjectAccessReview": "io.k8s.api.authorization.v1",
    "SelfSubjectReview": "io.k8s.api.authentication.v1",
    "SelfSubjectRulesReview": "io.k8s.api.authorization.v1",
    "Service": _CORE,
    "ServiceAccount": _CORE,
    "SubjectAccessReview": "io.k8s.api.authorization.v1",
    "TokenRequest": "io.k8s.api.authentication.v1",
}

# Fields with their numbers. A star marks what Go keeps as a pointer: such a field is sent only when it is set, so that
# zero and false have a meaning. All others are always sent, and zero means that they are not set.
_FIELDS = {
    "v1.AggregationRule": "clusterRoleSelectors 1",
    "v1.BoundObjectReference": "kind 1, apiVersion 2, name 3, uid 4",
    "v1.CertificateSigningRequest": "metadata 1, spec 2, status 3",
    "v1.CertificateSigningRequestCondition": "type 1, reason 2, message 3, lastUpdateTime 4, lastTransitionTime 5, "
    "status 6",
    "v1.CertificateSigningRequestSpec": "request 1, username 2, uid 3, groups 4, usages 5, signerName 7, "
    "expirationSeconds* 8",
    "v1.CertificateSigningRequestStatus": "conditions 1, certificate 2",
    "v1.ClientIPConfig": "timeoutSeconds* 1",
    "v1.ClusterRole": "metadata 1, rules 2, aggregationRule 3",
    "v1.ClusterRoleBinding": "metadata 1, subjects 2, roleRef 3",
    "v1.ConfigMap": "metadata 1, data 2, binaryData 3, immutable* 4",
    "v1.DeleteOptions": "gracePeriodSeconds* 1, preconditions 2, orphanDependents* 3, propagationPolicy 4, dryRun 5",
    "v1.Eviction": "metadata 1, deleteOptions 2",
    "v1.LabelSelector": "matchLabels 1, matchExpressions 2",
    "v1.LabelSelectorRequirement": "key 1, operator 2, values 3",
    "v1.LocalObjectReference": "name 1",
    "v1.LocalSubjectAccessReview": "metadata 1, spec 2",
    "v1.Namespace": "metadata 1, spec 2",
    "v1.NamespaceSpec": "finalizers 1",
    "v1.NonResourceAttributes": "path 1, verb 2",
    "v1.ObjectMeta": "name 1, generateName 2, namespace 3, selfLink 4, uid 5, resourceVersion 6, generation 7, "
    "creationTimestamp 8, deletionTimestamp 9, deletionGracePeriodSeconds* 10, labels 11, annotations 12, "
    "ownerReferences 13, finalizers 14",
    "v1.ObjectReference": "kind 1, namespace 2, name 3, uid 4, apiVersion 5, resourceVersion 6, fieldPath 7",
    "v1.OwnerReference": "kind 1, name 3, uid 4, apiVersion 5, controller* 6, blockOwnerDeletion* 7",
    "v1.PolicyRule": "verbs 1, apiGroups 2, resources 3, resourceNames 4, nonResourceURLs 5",
    "v1.Preconditions": "uid 1, resourceVersion 2",
    "v1.PriorityClass": "metadata 1, value 2, globalDefault 3, description 4, preemptionPolicy* 5",
    "v1.ResourceAttributes": "namespace 1, verb 2, group 3, version 4, resource 5, subresource 6, name 7",
    "v1.ResourceQuota": "metadata 1, spec 2",
    "v1.ResourceQuotaSpec": "hard 1, scopes 2, scopeSelector 3",
    "v1.Role": "metadata 1, rules 2",
    "v1.RoleBinding": "metadata 1, subjects 2, roleRef 3",
    "v1.RoleRef": "apiGroup 1, kind 2, name 3",
    "v1.ScopeSelector": "matchExpressions 1",
    "v1.ScopedResourceSelectorRequirement": "scopeName 1, operator 2, values 3",
    "v1.Secret": "metadata 1, data 2, type 3, stringData 4, immutable* 5",
    "v1.SelfSubjectAccessReview": "metadata 1, spec 2",
    "v1.SelfSubjectAccessReviewSpec": "resourceAttributes 1, nonResourceAttributes 2",
    "v1.SelfSubjectReview": "metadata 1",
    "v1.SelfSubjectRulesReview": "metadata 1, spec 2",
    "v1.SelfSubjectRulesReviewSpec": "namespace 1",
    "v1.Service": "metadata 1, spec 2",
    "v1.ServiceAccount": "metadata 1, secrets 2, imagePullSecrets 3, automountServiceAccountToken* 4",
    "v1.ServicePort": "name 1, protocol 2, port 3, targetPort 4, nodePort 5, appProtocol 6",
    "v1.ServiceSpec": "ports 1, selector 2, clusterIP 3, type 4, externalIPs 5, sessionAffinity 7, loadBalancerIP 8, "
    "loadBalancerSourceRanges 9, externalName 10, externalTrafficPolicy 11, healthCheckNodePort 12, "
    "publishNotReadyAddresses 13, sessionAffinityConfig 14, ipFamilyPolicy 17, clusterIPs 18, ipFamilies 19, "
    "allocateLoadBalancerNodePorts* 20, loadBalancerClass 21, internalTrafficPolicy 22, trafficDistribution 23",
    "v1.SessionAffinityConfig": "clientIP 1",
    "v1.Subject": "kind 1, apiGroup 2, name 3, namespace 4",
    "v1.SubjectAccessReview": "metadata 1, spec 2",
    "v1.SubjectAccessReviewSpec": "resourceAttributes 1, nonResourceAttributes 2, user 3, groups 4, uid 6",
    "v1.TokenRequest": "metadata 1, spec 2",
    "v1.TokenRequestSpec": "audiences 1, boundObjectRef 3, expirationSeconds* 4",
}


class _UnknownError(Exception):
    """A body that this module does not understand."""


def parse(body: bytes) -> Object | None:
    """Return the object in a body, None if it is not one of ``_KINDS`` in protobuf.

    The body is upstream's ``runtime.Unknown`` after the bytes ``k8s\\0``.
    """
    if not body.startswith(_MAGIC):
        return None
    try:
        envelope = dict(_parts(body[len(_MAGIC) :]))
        identity = {number: value.decode() for number, value in _parts(envelope[1])}
        kind = identity.get(2, "")
        obj = _message(node_of(f"{_KINDS[kind]}.{kind}"), envelope[2])
    except (_UnknownError, LookupError, TypeError, AttributeError, ValueError, RecursionError):
        return None
    return {"apiVersion": identity.get(1, ""), "kind": kind, **obj}


@cache
def _numbers(go_type: str) -> dict[int, tuple[str, bool]]:
    """Return number → (field, whether its zero value counts) for a struct's Go type."""
    fields = (field.split() for field in _FIELDS[go_type].split(", ") if field)
    return {int(number): (name.rstrip("*"), name.endswith("*")) for name, number in fields}


def _message(node: SchemaNode, data: bytes) -> Object:
    numbers = _numbers(node.go)
    found: Object = {}
    for number, raw in _parts(data):
        if number not in numbers:
            continue  # status and managedFields, which such a client may not set anyway
        name, zero_counts = numbers[number]
        child = node.child(name)
        if isinstance(child, Array):
            found.setdefault(name, []).append(_value(child.item, raw))
        elif isinstance(child, Map):
            entry = dict(_parts(raw))
            found.setdefault(name, {})[entry.get(1, b"").decode()] = _value(child.item, entry.get(2, b""))
        elif child is not None:
            value = _value(child, raw)
            if value or zero_counts or isinstance(child, Struct):
                found[name] = value
    return found


def _value(node: SchemaNode, raw: Any) -> Any:
    match node:
        case Struct():
            return _message(node, raw)
        case QuantityText():
            return dict(_parts(raw)).get(1, b"").decode()
        case IntOrString():
            parts = dict(_parts(raw))
            return parts.get(3, b"").decode() if parts.get(1) else _signed(parts.get(2, 0))
        case Integer():
            return _signed(raw)
        case Text(go="[]uint8"):
            return base64.b64encode(raw).decode()
        case Text():
            parts = dict(_parts(raw))
            return format_time(datetime.fromtimestamp(_signed(parts.get(1, 0)), UTC)) if parts else None
        case Scalar(wanted=wanted):
            return raw.decode() if wanted is str else bool(raw)
    raise _UnknownError(node.go)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _parts(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield the numbers and raw values of a message's fields: ints, or bytes that mean a string or a message.

    To the library's parser, every field of an empty message is unknown; it keeps unknown fields, in order.
    """
    message = empty_pb2.Empty()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise _UnknownError(str(error)) from None
    for field in UnknownFieldSet(message):
        yield field.field_number, field.data
