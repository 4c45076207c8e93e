"""Kinds and subresources of upstream's v1.32 that are not here yet, and what to use instead.

Whoever asks for one is told so in the error's message. Some kinds can be listed and watched all the same, and the lists
are always empty: clients that list every kind (``kubectl get all``, ``kubectl apply --prune``, upstream's end-to-end
suite before its first test) would fail if the kinds did not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from apiserver.model.kind import Kind
from apiserver.schema import definitions
from apiserver.schema.codec import plural_of, upstream

_READING = ("get", "list", "watch")
_POD = "a Pod with the restartPolicy OnFailure or Never"
_VOLUME = "a volume of type emptyDir or hostPath"


def _missing(what: str, instead: str) -> str:
    return f"mini-Minishift does not have {what} yet" + (f": use {instead}" if instead else "")


# (group, kind) → what to use instead, "" where there is nothing.
INSTEAD: Mapping[tuple[str, str], str] = {
    ("", "ComponentStatus"): "kubectl get --raw '/readyz?verbose'",
    ("", "PersistentVolume"): _VOLUME,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): "",
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): "",
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): "",
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): "",
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): "",
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): "",
    ("apiregistration.k8s.io", "APIService"): "a CustomResourceDefinition",
    ("apps", "ControllerRevision"): "",
    ("apps", "DaemonSet"): "a ReplicaSet with one replica, since there is one node",
    ("apps", "Deployment"): "a ReplicaSet",
    ("apps", "StatefulSet"): "a ReplicaSet",
    ("autoscaling", "HorizontalPodAutoscaler"): "kubectl scale",
    ("batch", "CronJob"): _POD,
    ("batch", "Job"): _POD,
    ("certificates.k8s.io", "ClusterTrustBundle"): "a ConfigMap",
    ("coordination.k8s.io", "LeaseCandidate"): "a Lease",
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): "",
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): "",
    ("internal.apiserver.k8s.io", "StorageVersion"): "",
    ("networking.k8s.io", "IPAddress"): "",
    ("networking.k8s.io", "Ingress"): "a Service of type NodePort",
    ("networking.k8s.io", "IngressClass"): "a Service of type NodePort",
    ("networking.k8s.io", "NetworkPolicy"): "",
    ("networking.k8s.io", "ServiceCIDR"): "the API server's flag --service-cluster-ip-range",
    ("resource.k8s.io", "DeviceClass"): "",
    ("resource.k8s.io", "ResourceClaim"): "",
    ("resource.k8s.io", "ResourceClaimTemplate"): "",
    ("resource.k8s.io", "ResourceSlice"): "",
    ("storage.k8s.io", "CSIDriver"): _VOLUME,
    ("storage.k8s.io", "CSINode"): _VOLUME,
    ("storage.k8s.io", "CSIStorageCapacity"): _VOLUME,
    ("storage.k8s.io", "StorageClass"): _VOLUME,
    ("storage.k8s.io", "VolumeAttachment"): _VOLUME,
    ("storage.k8s.io", "VolumeAttributesClass"): _VOLUME,
    ("storagemigration.k8s.io", "StorageVersionMigration"): "",
}
# These are bodies of subresources, and no resources themselves.
_OF_SUBRESOURCES = ("Eviction", "Scale", "TokenRequest")
_SUBRESOURCES = {
    ("pods", "ephemeralcontainers"): _missing("ephemeral containers", "kubectl debug --copy-to"),
    ("pods", "resize"): _missing("the resizing of pods", "a new Pod"),
}


def why_not_served(group: str, kind: str) -> str:
    """Return a sentence for the error about a kind of upstream's that is not served."""
    plural = plural_of(kind)
    if (group, kind) in INSTEAD:
        return _missing(plural, INSTEAD[group, kind])
    return f"{plural} belong to a feature that this API server runs without (see --features)"


def why_no_subresource(kind: Kind, name: str) -> str:
    """Return a sentence for the error about a subresource that is not served, "" if upstream has none of this name."""
    return kind.missing or _SUBRESOURCES.get((kind.resource, name), "")


@lru_cache(1)
def upstream_kinds() -> Mapping[tuple[str, str, str], str]:
    """Return (group, version, plural) → kind for all whose objects upstream's v1.32 can store."""
    found = {}
    for definition in definitions.load().values():
        if definitions.target(definition.get("properties", {}).get("metadata", {})).endswith(".ObjectMeta"):
            for each in definition.get("x-kubernetes-group-version-kind", ()):
                if each["kind"] in _OF_SUBRESOURCES:
                    continue
                found[each["group"], each["version"], plural_of(each["kind"].lower())] = each["kind"]
    return found


def _row(group: str, kind: str, short_name: str, *, all: bool = True, namespaced: bool = True) -> Kind:
    names = (short_name,) if short_name else ()
    categories = ("all",) if all else ()
    missing = why_not_served(group, kind)
    return Kind(
        *upstream(group, kind), namespaced, verbs=_READING, short_names=names, categories=categories, missing=missing
    )


UNSUPPORTED = (
    _row("", "PersistentVolume", "pv", all=False, namespaced=False),
    _row("apps", "DaemonSet", "ds"),
    _row("apps", "Deployment", "deploy"),
    _row("apps", "StatefulSet", "sts"),
    _row("batch", "CronJob", "cj"),
    _row("batch", "Job", ""),
    _row("networking.k8s.io", "Ingress", "ing", all=False),
)
