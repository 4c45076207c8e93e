"""Warnings about what is allowed in a pod or pod template, but deprecated or most likely a mistake.

Upstream: pkg/api/pod/warnings.go.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from machinery import quantity
from machinery.errors import quote
from machinery.objects import Object
from machinery.validation import is_dns1123_label

# Upstream: pkg/api/node/util.go.
DEPRECATED_NODE_LABELS = {
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
}
_DNS_LABEL = "which can result in surprising behavior; a DNS label is recommended"
_BYTES = ("memory", "ephemeral-storage")
_NEGATIVE_GRACE = "must be >= 0; negative values are invalid and will be treated as 1"
_NO_SELECTOR = "a null labelSelector results in matching no pod"
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageOS": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_APPARMOR_CONTAINER = "container.apparmor.security.beta.kubernetes.io/"
_APPARMOR = 'deprecated since v1.30; use the "appArmorProfile" field instead'
# A port is compared with so many of the same number before it, so that a pod with thousands of them costs little.
_MOST_COMPARED = 16
# Part of a projected volume's source that lists items → upstream's name of it in the message.
_PROJECTED = {"configMap": "configMap", "secret": "secrets", "downwardAPI": "downwardAPI"}


def pod_warnings(path: str, pod: Object) -> Iterator[str]:
    """Yield warnings about a pod (``path`` is empty) or a pod template (``path`` is its own, with a dot at the end)."""
    spec, annotations = pod["spec"], pod.get("metadata", {}).get("annotations", {})
    yield from _node_labels(f"{path}spec", spec)
    for name, message in _ANNOTATIONS.items():
        if name in annotations:
            yield f"{path}metadata.annotations[{name}]: {message}"
    yield from _volumes(f"{path}spec.volumes", spec.get("volumes", ()))
    yield from _duplicates(f"{path}spec.hostAliases", "ip", spec.get("hostAliases", ()))
    yield from _duplicates(f"{path}spec.imagePullSecrets", "name", spec.get("imagePullSecrets", ()))
    for index, secret in enumerate(spec.get("imagePullSecrets", ())):
        if not secret.get("name"):
            yield f'{path}spec.imagePullSecrets[{index}].name: invalid empty name ""'
    yield from fractional_bytes(f"{path}spec.overhead", spec.get("overhead", {}), *_BYTES)
    yield from _profiles(f"{path}metadata.annotations", annotations, spec)
    for at, container in _containers(f"{path}spec", spec):
        yield from _container(at, container)
    yield from _ports(f"{path}spec", spec)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        yield f"{path}spec.terminationGracePeriodSeconds: {_NEGATIVE_GRACE}"
    for kind in ("podAffinity", "podAntiAffinity"):
        yield from _pod_affinity(f"{path}spec.affinity.{kind}", spec.get("affinity", {}).get(kind, {}))


def _containers(path: str, spec: Object) -> Iterator[tuple[str, Object]]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field, ())):
            yield f"{path}.{field}[{index}]", container


def _node_labels(path: str, spec: Object) -> Iterator[str]:
    for name in sorted(spec.get("nodeSelector", {})):
        if message := DEPRECATED_NODE_LABELS.get(name):
            yield f"{path}.nodeSelector[{name}]: {message}"
    affinity = spec.get("affinity", {}).get("nodeAffinity", {})
    field = "requiredDuringSchedulingIgnoredDuringExecution"
    terms = affinity.get(field, {}).get("nodeSelectorTerms", ())
    yield from node_label_warnings(f"{path}.affinity.nodeAffinity.{field}.nodeSelectorTerms", terms)
    field = "preferredDuringSchedulingIgnoredDuringExecution"
    for index, term in enumerate(affinity.get(field, ())):
        at = f"{path}.affinity.nodeAffinity.{field}[{index}].preference"
        yield from node_term_warnings(at, term.get("preference", {}))
    for index, constraint in enumerate(spec.get("topologySpreadConstraints", ())):
        at, key = f"{path}.topologySpreadConstraints[{index}]", constraint.get("topologyKey", "")
        if message := DEPRECATED_NODE_LABELS.get(key):
            yield f"{at}.topologyKey: {key} is {message}"
        if "labelSelector" not in constraint:
            yield f"{at}.labelSelector: {_NO_SELECTOR}"


def _pod_affinity(path: str, affinity: Object) -> Iterator[str]:
    field = "requiredDuringSchedulingIgnoredDuringExecution"
    for index, term in enumerate(affinity.get(field, ())):
        if "labelSelector" not in term:
            yield f"{path}.{field}[{index}].labelSelector: {_NO_SELECTOR}"
    field = "preferredDuringSchedulingIgnoredDuringExecution"
    for index, term in enumerate(affinity.get(field, ())):
        if "labelSelector" not in term.get("podAffinityTerm", {}):
            yield f"{path}.{field}[{index}].podAffinityTerm.labelSelector: {_NO_SELECTOR}"


def _volumes(path: str, volumes: Iterable[Object]) -> Iterator[str]:
    tokens: set[str] = set()
    for index, volume in enumerate(volumes):
        for field, message in _VOLUMES.items():
            if field in volume:
                yield f"{path}[{index}].{field}: {message}"
        claim = volume.get("ephemeral", {}).get("volumeClaimTemplate", {}).get("spec", {}).get("resources", {})
        at = f"{path}[{index}].ephemeral.volumeClaimTemplate.spec.resources"
        for field in ("requests", "limits"):
            yield from fractional_bytes(f"{at}.{field}", claim.get(field, {}), "storage")
        for source in volume.get("projected", {}).get("sources", ()):
            if token := source.get("serviceAccountToken"):
                tokens.add(token["path"])
    if tokens:
        for index, volume in enumerate(volumes):
            for source in volume.get("projected", {}).get("sources", ()):
                yield from _hidden_tokens(f"{path}[{index}].projected.sources", source, tokens)


def _hidden_tokens(path: str, source: Object, tokens: set[str]) -> Iterator[str]:
    for field, shown in _PROJECTED.items():
        for index, item in enumerate(source.get(field, {}).get("items", ())):
            if item["path"] in tokens:
                where = f"{path}.{shown}[{index}]"
                yield f"{where}: has duplicated path with ServiceAccountToken {quote(item['path'])}"
    bundle = source.get("clusterTrustBundle", {}).get("path")
    if bundle in tokens:
        yield f"{path}.ClusterTrustBundle: has duplicated path with ServiceAccountToken {quote(bundle)}"


def _duplicates(path: str, field: str, items: Iterable[Object]) -> Iterator[str]:
    seen: set[str] = set()
    for index, item in enumerate(items):
        value = item.get(field) or ""
        if value in seen:
            yield f"{path}[{index}].{field}: duplicate {field} {quote(value)}"
        seen.add(value)


def _profiles(path: str, annotations: Object, spec: Object) -> Iterator[str]:
    """Yield warnings about annotations that the fields of a security context have replaced."""
    of_pod = spec.get("securityContext", {})
    if _SECCOMP_POD in annotations and "seccompProfile" not in of_pod:
        yield f"{path}[{_SECCOMP_POD}]: {_SECCOMP}"
    for _, container in _containers("", spec):
        own = container.get("securityContext", {})
        name = _SECCOMP_CONTAINER + container["name"]
        if name in annotations and "seccompProfile" not in own:
            yield f"{path}[{name}]: {_SECCOMP}"
        name = _APPARMOR_CONTAINER + container["name"]
        if name in annotations and "appArmorProfile" not in own and "appArmorProfile" not in of_pod:
            yield f"{path}[{name}]: {_APPARMOR}"


def _container(path: str, container: Object) -> Iterator[str]:
    resources = container.get("resources", {})
    for name in _BYTES:
        for field in ("limits", "requests"):
            yield from fractional_bytes(f"{path}.resources.{field}", resources.get(field, {}), name)
    yield from _hidden_variables(f"{path}.env", container.get("env", ()))


def _hidden_variables(path: str, variables: Iterable[Object]) -> Iterator[str]:
    """Yield a warning about each variable that is defined again, unless it extends its earlier value."""
    seen: set[str] = set()
    for index, variable in enumerate(variables):
        name, value = variable["name"], variable.get("value", "")
        reference = f"$({name})"
        extends = "valueFrom" not in variable and reference in value and value != reference
        if name in seen and not extends:
            yield f"{path}[{index}]: hides previous definition of {quote(name)}, which may be dropped when using apply"
        seen.add(name)


def _ports(path: str, spec: Object) -> Iterator[str]:
    """Yield warnings about ports that are the same, or that may be, over all containers."""
    seen: dict[tuple[int, str], list[tuple[tuple[str, int], str]]] = defaultdict(list)
    for at, container in _containers(path, spec):
        for index, port in enumerate(container.get("ports", ())):
            where, host = f"{at}.ports[{index}]", (port.get("hostIP", ""), port.get("hostPort", 0))
            protocol = port.get("protocol", "TCP")
            if host[0] and not host[1]:
                fields = f"HostPort:0 ContainerPort:{port['containerPort']} Protocol:{protocol} HostIP:{host[0]}"
                yield f"{where}: hostIP set without hostPort: {{Name:{port.get('name', '')} {fields}}}"
            others = seen[port["containerPort"], protocol]
            for other, earlier in others:
                if word := _conflict(host, other):
                    yield f"{where}: {word} port definition with {earlier}"
            if len(others) < _MOST_COMPARED:
                others.append((host, where))


def _conflict(one: tuple[str, int], other: tuple[str, int]) -> str:
    """Return upstream's word for two ports of the same number with these host IPs and host ports; empty if none."""
    if one == other:
        return "duplicate"
    if not one[1] or not other[1]:
        return "overlapping"
    if one[1] == other[1] and bool(one[0]) != bool(other[0]):
        return "dangerously ambiguous"
    return ""


def name_warnings(name: str, used: str) -> Iterator[str]:
    """Yield warnings about a name that is no DNS label, although it becomes a host name or a part of one."""
    problems = is_dns1123_label(name)
    if problems:
        yield f"metadata.name: this is used in {used}, {_DNS_LABEL}: [{' '.join(problems)}]"


def node_label_warnings(path: str, terms: Iterable[Object]) -> Iterator[str]:
    """Yield warnings about deprecated labels in the terms of a node selector; ``path`` is that of the list."""
    for index, term in enumerate(terms):
        yield from node_term_warnings(f"{path}[{index}]", term)


def node_term_warnings(path: str, term: Object) -> Iterator[str]:
    for index, expression in enumerate(term.get("matchExpressions", ())):
        if message := DEPRECATED_NODE_LABELS.get(expression["key"]):
            yield f"{path}.matchExpressions[{index}].key: {expression['key']} is {message}"


def fractional_bytes(path: str, amounts: Mapping[str, str], *names: str) -> Iterator[str]:
    """Yield a warning about each of these resources that has a fraction: ``100m`` of memory is a tenth of a byte."""
    for name in names:
        amount = amounts.get(name)
        if amount is not None and quantity.parse(amount) % 1:
            at = f"{path}[{name}]"
            yield f"{at}: fractional byte value {quote(str(amount))} is invalid, must be an integer"
