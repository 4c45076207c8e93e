"""Checks of a pod's spec, in a pod or a template (upstream: ValidatePodSpec).

Windows and resource claims are left out: no node of this cluster has either.
"""

from __future__ import annotations

from collections.abc import Iterable

from apiserver.kinds.pods.affinity import validate_affinity, validate_spread
from apiserver.kinds.pods.containers import validate_containers, validate_init_containers
from apiserver.kinds.pods.securitycontext import validate_pod_security
from apiserver.kinds.pods.volumes import validate_volumes
from apiserver.kinds.resources import validate_resources
from apiserver.model import checks
from machinery.errors import FieldError
from machinery.objects import Object
from machinery.validation import in_range, is_label_value

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
MAX_NAMESERVERS = 3
MAX_SEARCHES = 32
MAX_SEARCH_CHARACTERS = 2048


def validate_pod_spec(path: str, spec: Object, *, is_pod: bool) -> checks.Errors:
    """Check a whole spec. ``is_pod`` is False for that of a template, to which fewer rules apply."""
    yield from validate_volumes(f"{path}.volumes", spec)
    yield from validate_containers(f"{path}.containers", spec)
    yield from validate_init_containers(f"{path}.initContainers", spec)
    yield from _validate_host_network(f"{path}.containers", spec, is_pod=is_pod)
    yield from checks.one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), RESTART_POLICIES)
    yield from checks.one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), DNS_POLICIES)
    yield from checks.labels(f"{path}.nodeSelector", spec.get("nodeSelector", {}))
    yield from validate_pod_security(f"{path}.securityContext", spec)
    yield from validate_affinity(f"{path}.affinity", spec.get("affinity", {}))
    yield from _validate_dns(f"{path}.dnsConfig", spec)
    yield from _validate_gates(path, spec)
    yield from validate_spread(f"{path}.topologySpreadConstraints", spec.get("topologySpreadConstraints", ()))
    yield from _validate_names(path, spec)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= checks.MAX_INT32:
        yield FieldError.invalid(f"{path}.activeDeadlineSeconds", deadline, in_range(1, checks.MAX_INT32))
    yield from validate_tolerations(f"{path}.tolerations", spec.get("tolerations", ()))
    for index, alias in enumerate(spec.get("hostAliases", ())):
        yield from checks.ip(f"{path}.hostAliases[{index}].ip", alias.get("ip", ""))
        for position, name in enumerate(alias.get("hostnames", ())):
            yield from checks.subdomain(f"{path}.hostAliases[{index}].hostnames[{position}]", name)
    policy = spec.get("preemptionPolicy")
    if policy is not None:
        yield from checks.one_of(f"{path}.preemptionPolicy", policy, ("PreemptLowerPriority", "Never"))
    yield from validate_resources(f"{path}.overhead", {"limits": spec.get("overhead", {})})
    system = spec.get("os")
    if system is not None and system.get("name") not in ("linux", "windows"):
        yield FieldError.not_supported(f"{path}.os", system.get("name", ""), ("linux", "windows"))


def _validate_names(path: str, spec: Object) -> checks.Errors:
    for field in ("serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"):
        if spec.get(field):
            yield from checks.subdomain(f"{path}.{field}", spec[field])
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            yield from checks.label(f"{path}.{field}", spec[field])


def _validate_host_network(path: str, spec: Object, *, is_pod: bool) -> checks.Errors:
    if not spec.get("hostNetwork"):
        return
    for index, container in enumerate(spec.get("containers", ())):
        for position, port in enumerate(container.get("ports", ())):
            host = port.get("hostPort", 0)
            if (is_pod or host) and host != port.get("containerPort", 0):
                why = "must match `containerPort` when `hostNetwork` is true"
                yield FieldError.invalid(f"{path}[{index}].ports[{position}].hostPort", host, why)


def _validate_dns(path: str, spec: Object) -> checks.Errors:
    config, policy = spec.get("dnsConfig", {}), spec.get("dnsPolicy")
    if policy == "None" and "dnsConfig" not in spec:
        yield FieldError.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
        return
    servers, searches = config.get("nameservers", []), config.get("searches", [])
    if policy == "None" and not servers:
        why = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        yield FieldError.required(f"{path}.nameservers", why)
        return
    if len(servers) > MAX_NAMESERVERS:
        why = f"must not have more than {MAX_NAMESERVERS} nameservers"
        yield FieldError.invalid(f"{path}.nameservers", servers, why)
    for index, server in enumerate(servers):
        yield from checks.ip(f"{path}.nameservers[{index}]", server)
    if len(searches) > MAX_SEARCHES:
        yield FieldError.invalid(f"{path}.searches", searches, f"must not have more than {MAX_SEARCHES} search paths")
    if len(" ".join(searches)) > MAX_SEARCH_CHARACTERS:
        why = f"must not have more than {MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list"
        yield FieldError.invalid(f"{path}.searches", searches, why)
    for index, search in enumerate(searches):
        yield from checks.subdomain(f"{path}.searches[{index}]", search.removesuffix("."))
    for index, option in enumerate(config.get("options", ())):
        if not option.get("name"):
            yield FieldError.required(f"{path}.options[{index}]", "must not be empty")


def _validate_gates(path: str, spec: Object) -> checks.Errors:
    for index, gate in enumerate(spec.get("readinessGates", ())):
        yield from checks.qualified_name(f"{path}.readinessGates[{index}].conditionType", gate.get("conditionType", ""))
    seen: set[str] = set()
    for index, gate in enumerate(spec.get("schedulingGates", ())):
        name = gate.get("name", "")
        yield from checks.qualified_name(f"{path}.schedulingGates[{index}]", name)
        if name in seen:
            yield FieldError.duplicate(f"{path}.schedulingGates[{index}]", name)
        seen.add(name)


def validate_tolerations(path: str, tolerations: Iterable[Object]) -> checks.Errors:
    for index, toleration in enumerate(tolerations):
        at, key, operator = f"{path}[{index}]", toleration.get("key"), toleration.get("operator", "")
        effect, value = toleration.get("effect", ""), toleration.get("value", "")
        if key:
            yield from checks.qualified_name(f"{at}.key", key)
        elif operator != "Exists":
            why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            yield FieldError.invalid(f"{at}.operator", operator, why)
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            yield FieldError.invalid(f"{at}.effect", effect, why)
        if operator in ("Equal", ""):
            yield from _validate_taint_value(f"{at}.operator", value)
        elif operator == "Exists":
            if value:
                yield FieldError.invalid(f"{at}.operator", value, "value must be empty when `operator` is 'Exists'")
        else:
            yield FieldError.not_supported(f"{at}.operator", operator, ("Equal", "Exists"))
        yield from checks.supported(f"{at}.effect", effect or None, TAINT_EFFECTS)


def _validate_taint_value(path: str, value: str) -> checks.Errors:
    if messages := is_label_value(value):
        yield FieldError.invalid(path, value, ";".join(messages))


def validate_taints(path: str, taints: Iterable[Object]) -> checks.Errors:
    """Check a node's taints: an effect may have each key once."""
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        at, key, effect = f"{path}[{index}]", taint.get("key", ""), taint.get("effect", "")
        yield from checks.qualified_name(f"{at}.key", key)
        yield from _validate_taint_value(f"{at}.value", taint.get("value", ""))
        yield from checks.one_of(f"{at}.effect", effect, TAINT_EFFECTS)
        if (key, effect) in seen:
            why = "taints must be unique by key and effect pair"
            yield FieldError("FieldValueDuplicate", at, why, taint)
        seen.add((key, effect))


def validate_pod_template(path: str, template: Object) -> checks.Errors:
    """Check the metadata and spec of pods that are still to be made (upstream: ValidatePodTemplateSpec)."""
    metadata, spec = template.get("metadata", {}), template.get("spec", {})
    yield from checks.labels(f"{path}.labels", metadata.get("labels", {}))
    for name in metadata.get("annotations", {}):
        yield from checks.qualified_name(f"{path}.annotations", name.lower())
    yield from validate_pod_spec(f"{path}.spec", spec, is_pod=False)
    if spec.get("ephemeralContainers"):
        why = "ephemeral containers not allowed in pod template"
        yield FieldError.forbidden(f"{path}.spec.ephemeralContainers", why)
