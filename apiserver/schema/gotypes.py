"""What upstream's Go types say and its OpenAPI definitions do not.

These tables have the names of string types, which messages about values of the wrong type show (only of fields that
people write: all others are called ``string``); the fields that are no pointers, and so are never absent; and the lists
that are stored even when they are empty.
"""

from __future__ import annotations

# Type → the fields that have it; brackets mark a list of it.
_TYPES = {
    "types.UID": "ObjectMeta.uid ObjectReference.uid OwnerReference.uid Preconditions.uid",
    "v1.Capability": "Capabilities.add[] Capabilities.drop[]",
    "v1.ConditionStatus": "NodeCondition.status PodCondition.status ReplicationControllerCondition.status",
    "v1.ContainerRestartPolicy": "Container.restartPolicy EphemeralContainer.restartPolicy",
    "v1.DNSPolicy": "PodSpec.dnsPolicy",
    "v1.DeletionPropagation": "DeleteOptions.propagationPolicy",
    "v1.FinalizerName": "NamespaceSpec.finalizers[]",
    "v1.HostPathType": "HostPathVolumeSource.type",
    "v1.IPFamily": "ServiceSpec.ipFamilies[]",
    "v1.IPFamilyPolicy": "ServiceSpec.ipFamilyPolicy",
    "v1.LabelSelectorOperator": "LabelSelectorRequirement.operator",
    "v1.NamespacePhase": "NamespaceStatus.phase",
    "v1.NodeSelectorOperator": "NodeSelectorRequirement.operator",
    "v1.PodPhase": "PodStatus.phase",
    "v1.PreemptionPolicy": "PodSpec.preemptionPolicy",
    "v1.Protocol": "ContainerPort.protocol EndpointPort.protocol ServicePort.protocol",
    "v1.PullPolicy": "Container.imagePullPolicy EphemeralContainer.imagePullPolicy",
    "v1.RestartPolicy": "PodSpec.restartPolicy",
    "v1.SeccompProfileType": "SeccompProfile.type",
    "v1.SecretType": "Secret.type",
    "v1.ServiceAffinity": "ServiceSpec.sessionAffinity",
    "v1.ServiceExternalTrafficPolicy": "ServiceSpec.externalTrafficPolicy",
    "v1.ServiceInternalTrafficPolicy": "ServiceSpec.internalTrafficPolicy",
    "v1.ServiceType": "ServiceSpec.type",
    "v1.StorageMedium": "EmptyDirVolumeSource.medium",
    "v1.TaintEffect": "Taint.effect Toleration.effect",
    "v1.TerminationMessagePolicy": "Container.terminationMessagePolicy EphemeralContainer.terminationMessagePolicy",
    "v1.TolerationOperator": "Toleration.operator",
    "v1.URIScheme": "HTTPGetAction.scheme",
    "v1.UnsatisfiableConstraintAction": "TopologySpreadConstraint.whenUnsatisfiable",
}

# ``Struct.field`` → its type; ``Struct.field[]`` → the type of its elements.
NAMED = {field: name for name, fields in _TYPES.items() for field in fields.split()}

# Fields that are structs, not pointers: Go always has them, and writes them even when they are empty. (``metadata`` is
# such a field everywhere.)
_VALUES = {
    "spec": "CertificateSigningRequest CustomResourceDefinition DaemonSet Deployment Ingress Job Lease LimitRange "
    "Namespace NetworkPolicy Node PersistentVolume PersistentVolumeClaim Pod PodDisruptionBudget PodTemplateSpec "
    "ReplicaSet ReplicationController ResourceQuota Scale Service StatefulSet",
    "status": "CertificateSigningRequest CustomResourceDefinition DaemonSet Deployment Ingress Job Namespace Node "
    "PersistentVolume PersistentVolumeClaim Pod PodDisruptionBudget ReplicaSet ReplicationController ResourceQuota "
    "Scale Service StatefulSet",
    "template": "DaemonSetSpec DeploymentSpec JobSpec PodTemplate ReplicaSetSpec StatefulSetSpec",
    "resources": "Container EphemeralContainer PersistentVolumeClaimSpec",
    "updateStrategy": "DaemonSetSpec StatefulSetSpec",
    "strategy": "DeploymentSpec",
    "loadBalancer": "IngressStatus ServiceStatus",
    "conditions": "Endpoint",
    "daemonEndpoints": "NodeStatus",
    "nodeInfo": "NodeStatus",
    "kubeletEndpoint": "NodeDaemonEndpoints",
    "involvedObject": "Event",
    "source": "Event",
    "roleRef": "ClusterRoleBinding RoleBinding",
    "names": "CustomResourceDefinitionSpec",
    "acceptedNames": "CustomResourceDefinitionStatus",
    "podSelector": "NetworkPolicySpec",
}
# Times that are no pointers: Go writes null when they are not set.
_TIMES = {
    "creationTimestamp": "ObjectMeta",
    "lastProbeTime": "JobCondition PersistentVolumeClaimCondition PodCondition",
    "lastHeartbeatTime": "NodeCondition",
    "lastUpdateTime": "CertificateSigningRequestCondition DeploymentCondition",
    "lastTransitionTime": "CertificateSigningRequestCondition Condition CustomResourceDefinitionCondition "
    "DaemonSetCondition DeploymentCondition JobCondition NamespaceCondition "
    "NodeCondition PersistentVolumeClaimCondition PodCondition ReplicaSetCondition ReplicationControllerCondition "
    "StatefulSetCondition",
    "firstTimestamp": "Event",
    "lastTimestamp": "Event",
    "eventTime": "Event",
    "lastObservedTime": "EventSeries",
}
# Optional lists that are stored even when they are empty. (An empty managedFields asks to forget all managers.)
_KEPT = {
    "rules": "ClusterRole Role",
    "names": "ContainerImage",
    "topologyKeys": "CSINodeDriver",
    "conditions": "CustomResourceDefinitionStatus",
    "storedVersions": "CustomResourceDefinitionStatus",
    "ports": "EndpointSlice",
    "managedFields": "ObjectMeta",
    "sources": "ProjectedVolumeSource",
}

VALUES, TIMES, KEPT = (
    frozenset(f"{struct}.{field}" for field, structs in table.items() for struct in structs.split())
    for table in (_VALUES, _TIMES, _KEPT)
)

# Defaults of fields that identify the items of lists (if they are not Go's zero value of a required field).
KEY_DEFAULTS = {"ContainerPort.protocol": "TCP", "ServicePort.protocol": "TCP", "LocalObjectReference.name": ""}
