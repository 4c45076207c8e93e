"""PodSecurity: a namespace's labels say which level its pods must keep to, and of which violations to warn.

Upstream: pod-security-admission/admission. There are no exemptions.
"""

from __future__ import annotations

from collections.abc import Mapping

from apiserver.admission.plugin import Plugin, is_pod, refuse
from apiserver.kinds.namespaces import NAMESPACES
from apiserver.kinds.pods.row import PODS
from apiserver.podsecurity.baseline import SECCOMP_POD, SECCOMP_PREFIX
from apiserver.podsecurity.evaluation import evaluate_pods, violations
from apiserver.podsecurity.policy import PRIVILEGED, LevelVersion, NamespacePolicy, policy_of
from apiserver.registry.admissionrequest import AdmissionRequest
from machinery.errors import invalid, quote
from machinery.objects import Object, controller_of

# Where other kinds keep their pods' template.
TEMPLATES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "PodTemplate"): ("template",),
    ("", "ReplicationController"): ("spec", "template"),
    **{("apps", kind): ("spec", "template") for kind in ("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet")},
}
# How many pods of a namespace a change of its labels looks at.
MOST_PODS = 3000


class PodSecurity(Plugin):
    name = "PodSecurity"

    def handles(self, request: AdmissionRequest) -> bool:
        if request.operation not in ("CREATE", "UPDATE") or request.subresource:
            return False
        kind = request.kind
        return request.resource in (NAMESPACES.resource, PODS.resource) or (kind.group, kind.kind) in TEMPLATES

    def validate(self, request: AdmissionRequest) -> None:
        if request.resource == NAMESPACES.resource:
            _validate_namespace(request, request.new)
            return
        policy = _policy(request)
        if is_pod(request, "CREATE", "UPDATE"):
            if request.old is None or _is_significant(request.new, request.old):
                _enforce(request, policy.enforce, request.new)
                _warn(request, policy.warn, request.new)
        elif template := _template(request):
            _warn(request, policy.warn, template)


def _policy(request: AdmissionRequest) -> NamespacePolicy:
    """Return the policy of the request's namespace, by a consistent read."""
    namespace = request.reader.get(NAMESPACES, "", request.namespace, consistent=True)
    return policy_of(_labels(namespace))[0] if namespace else NamespacePolicy()


def _labels(namespace: Object) -> Mapping[str, str]:
    labels: Mapping[str, str] = namespace["metadata"].get("labels") or {}
    return labels


def _template(request: AdmissionRequest) -> Object | None:
    template = request.object
    for field in TEMPLATES[request.kind.group, request.kind.kind]:
        template = (template or {}).get(field)
    return template


def _enforce(request: AdmissionRequest, level: LevelVersion, pod: Object) -> None:
    if found := violations(level, pod["metadata"], pod["spec"]):
        raise refuse(request, f"violates PodSecurity {quote(str(level))}: {', '.join(map(str, found))}")


def _warn(request: AdmissionRequest, level: LevelVersion, pod: Object) -> None:
    if found := violations(level, pod.get("metadata") or {}, pod.get("spec") or {}):
        request.warnings.append(f"would violate PodSecurity {quote(str(level))}: {', '.join(map(str, found))}")


def _is_significant(pod: Object, old: Object) -> bool:
    """Return whether a change concerns a check: images do not, nor annotations that no check looks at."""
    return _changeable(pod) != _changeable(old)


def _changeable(pod: Object) -> tuple[object, ...]:
    annotations = pod["metadata"].get("annotations") or {}
    images = [
        [container.get("image") for container in pod["spec"].get(field) or ()]
        for field in ("initContainers", "containers", "ephemeralContainers")
    ]
    profiles = {name: text for name, text in annotations.items() if name.startswith((SECCOMP_POD, SECCOMP_PREFIX))}
    return images, profiles


def _validate_namespace(request: AdmissionRequest, namespace: Object) -> None:
    new, errors = policy_of(_labels(namespace))
    old, known = policy_of(_labels(request.old)) if request.old else (NamespacePolicy(), [])
    if errors and errors != known:
        raise invalid(NAMESPACES.group_kind, namespace["metadata"].get("name", ""), errors)
    if request.old is None or new.enforce == old.enforce or new.enforce.level == PRIVILEGED:
        return
    if new.enforce.minor == old.enforce.minor and not new.enforce.stricter_than(old.enforce):
        return
    request.warnings.extend(_pod_warnings(request, new.enforce))


def _pod_warnings(request: AdmissionRequest, level: LevelVersion) -> list[str]:
    """Return warnings of why existing pods violate the level; one pod of each controller is looked at first."""
    pods = request.reader.list(PODS, request.name, consistent=True)
    seen: set[str] = set()
    firsts: list[Object] = []
    others: list[Object] = []
    for pod in pods:
        reference = controller_of(pod)
        owner = reference["uid"] if reference else ""
        (others if owner in seen else firsts).append(pod)
        seen |= {owner} - {""}
    warnings = evaluate_pods(level, [*firsts, *others][:MOST_PODS])
    if warnings:
        name, wanted = quote(request.name), quote(str(level))
        warnings.insert(0, f"existing pods in namespace {name} violate the new PodSecurity enforce level {wanted}")
    if len(pods) > MOST_PODS:
        checked = f"the first {MOST_PODS} of {len(pods)} existing pods"
        warnings.insert(0, f"new PodSecurity enforce level only checked against {checked}")
    return warnings
