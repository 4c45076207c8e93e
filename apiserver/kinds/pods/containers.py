"""Checks of containers (upstream: validateContainers, validateInitContainers, validateContainerCommon)."""

from __future__ import annotations

from collections.abc import Iterable

from apiserver.kinds.pods.env import validate_env, validate_env_from
from apiserver.kinds.pods.probes import validate_lifecycle, validate_probes
from apiserver.kinds.pods.securitycontext import validate_container_security
from apiserver.kinds.pods.volumes import validate_mounts
from apiserver.kinds.resources import validate_resources
from apiserver.model import checks
from machinery import validation
from machinery.errors import FieldError
from machinery.objects import Object

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
NOT_FOR_INIT = "may not be set for init containers without restartPolicy=Always"


def validate_containers(path: str, spec: Object) -> checks.Errors:
    """Check the regular containers; there must be at least one."""
    containers = spec.get("containers", ())
    if not containers:
        yield FieldError.required(path)
        return
    names: set[str] = set()
    for index, container in enumerate(containers):
        at = f"{path}[{index}]"
        yield from _validate_common(at, container, spec)
        if container.get("name") in names:
            yield FieldError.duplicate(f"{at}.name", container["name"])
        names.add(container.get("name", ""))
        yield from validate_lifecycle(f"{at}.lifecycle", container, spec)
        yield from validate_probes(at, container, spec)
        if container.get("restartPolicy") is not None:
            yield FieldError.forbidden(f"{at}.restartPolicy", "may not be set for non-init containers")
    yield from _validate_host_ports(path, enumerate(containers))


def validate_init_containers(path: str, spec: Object) -> checks.Errors:
    """Check init containers; a sidecar (``restartPolicy: Always``) may have what a regular container may."""
    names = {container.get("name") for container in spec.get("containers", ())}
    for index, container in enumerate(spec.get("initContainers", ())):
        at, policy = f"{path}[{index}]", container.get("restartPolicy")
        yield from _validate_common(at, container, spec)
        yield from checks.supported(f"{at}.restartPolicy", policy, ("Always",))
        name = container.get("name")
        if name in names:
            yield FieldError.duplicate(f"{at}.name", name)
        names.add(name)
        yield from _validate_host_ports(path, [(index, container)])
        if policy == "Always":
            yield from validate_lifecycle(f"{at}.lifecycle", container, spec)
            yield from validate_probes(at, container, spec)
            continue
        for field in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
            if container.get(field) is not None:
                yield FieldError.forbidden(f"{at}.{field}", NOT_FOR_INIT)


def _validate_common(path: str, container: Object, spec: Object) -> checks.Errors:
    yield from checks.required(f"{path}.name", container.get("name"), checks.label)
    yield from checks.required(f"{path}.image", container.get("image"))
    policy = container.get("terminationMessagePolicy")
    yield from checks.one_of(f"{path}.terminationMessagePolicy", policy, MESSAGE_POLICIES)
    yield from _validate_ports(f"{path}.ports", container.get("ports", ()))
    yield from validate_env(f"{path}.env", container.get("env", ()))
    yield from validate_env_from(f"{path}.envFrom", container.get("envFrom", ()))
    yield from validate_mounts(f"{path}.volumeMounts", container, spec)
    yield from checks.one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), PULL_POLICIES)
    yield from validate_resources(f"{path}.resources", container.get("resources", {}))
    if container.get("securityContext") is not None:
        yield from validate_container_security(f"{path}.securityContext", container["securityContext"])


def _validate_ports(path: str, ports: Iterable[Object]) -> checks.Errors:
    names: set[str] = set()
    for index, port in enumerate(ports):
        at, name = f"{path}[{index}]", port.get("name")
        if name:
            if messages := validation.is_port_name(name):
                yield from checks.invalid(f"{at}.name", name, messages)
            elif name in names:
                yield FieldError.duplicate(f"{at}.name", name)
            names.add(name)
        yield from checks.required(f"{at}.containerPort", port.get("containerPort"), checks.port)
        if port.get("hostPort"):
            yield from checks.port(f"{at}.hostPort", port["hostPort"])
        yield from checks.one_of(f"{at}.protocol", port.get("protocol"), checks.PROTOCOLS)


def _validate_host_ports(path: str, containers: Iterable[tuple[int, Object]]) -> checks.Errors:
    """Check that no two ports of the containers are on the same port of the host."""
    taken: set[str] = set()
    for index, container in containers:
        for position, port in enumerate(container.get("ports", ())):
            if not port.get("hostPort"):
                continue
            binding = f"{port.get('protocol', 'TCP')}/{port.get('hostIP', '')}/{port['hostPort']}"
            if binding in taken:
                yield FieldError.duplicate(f"{path}[{index}].ports[{position}].hostPort", binding)
            taken.add(binding)
