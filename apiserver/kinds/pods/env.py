"""Checks of environment variables and of the downward API (upstream: ValidateEnv, ValidateEnvFrom)."""

from __future__ import annotations

from collections.abc import Iterable

from apiserver.model import checks
from machinery import quantity
from machinery.errors import FieldError
from machinery.objects import Object

ENV_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef")
ENV_FIELDS = (
    *("metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName"),
    *("status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"),
)
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
# All fields that the downward API can name.
KNOWN_FIELDS = frozenset(ENV_FIELDS) | frozenset(VOLUME_FIELDS) | {"spec.restartPolicy", "status.phase"}
RESOURCES = tuple(
    f"{bound}.{name}" for bound in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory")
)
BYTE_DIVISORS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
MORE_THAN_ONE = "may not have more than one field specified at a time"


def validate_env(path: str, variables: Iterable[Object]) -> checks.Errors:
    for index, variable in enumerate(variables):
        at, name = f"{path}[{index}]", variable.get("name")
        yield from checks.required(f"{at}.name", name, checks.env_var_name)
        if variable.get("valueFrom") is not None:
            yield from _validate_value_from(f"{at}.valueFrom", variable)


def _validate_value_from(path: str, variable: Object) -> checks.Errors:
    source = variable["valueFrom"]
    if source.get("fieldRef") is not None:
        yield from validate_field_ref(f"{path}.fieldRef", source["fieldRef"], ENV_FIELDS)
    if source.get("resourceFieldRef") is not None:
        yield from validate_resource_ref(f"{path}.resourceFieldRef", source["resourceFieldRef"], in_volume=False)
    for field in ("configMapKeyRef", "secretKeyRef"):
        if source.get(field) is not None:
            yield from _validate_key_ref(f"{path}.{field}", source[field])
    given = sum(source.get(field) is not None for field in ENV_SOURCES)
    if not given:
        why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        yield FieldError.invalid(path, "", why)
    elif variable.get("value"):
        yield FieldError.invalid(path, "", "may not be specified when `value` is not empty")
    elif given > 1:
        yield FieldError.invalid(path, "", MORE_THAN_ONE)


def _validate_key_ref(path: str, reference: Object) -> checks.Errors:
    yield from checks.subdomain(f"{path}.name", reference.get("name", ""))
    yield from checks.required(f"{path}.key", reference.get("key"), checks.data_key)


def validate_env_from(path: str, sources: Iterable[Object]) -> checks.Errors:
    for index, source in enumerate(sources):
        at = f"{path}[{index}]"
        if source.get("prefix"):
            yield from checks.env_var_name(f"{at}.prefix", source["prefix"])
        given = [field for field in ("configMapRef", "secretRef") if source.get(field) is not None]
        for field in given:
            if source[field].get("name"):
                yield from checks.subdomain(f"{at}.{field}.name", source[field]["name"])
            else:
                yield FieldError.required(f"{at}.{field}.name")
        if not given:
            yield FieldError.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(given) > 1:
            yield FieldError.invalid(path, "", MORE_THAN_ONE)


def validate_field_ref(path: str, reference: Object, allowed: tuple[str, ...]) -> checks.Errors:
    """Check a reference to a field of the pod, such as ``metadata.name`` or ``metadata.labels['app']``."""
    field = reference.get("fieldPath", "")
    if not field:
        yield FieldError.required(f"{path}.fieldPath")
        return
    version = reference.get("apiVersion", "v1")
    subscripted, _, subscript = field.removesuffix("']").partition("['") if field.endswith("']") else ("", "", "")
    if version != "v1":
        why = f"unsupported pod version: {version}"
    elif subscripted in ("metadata.annotations", "metadata.labels"):
        key = subscript.lower() if subscripted == "metadata.annotations" else subscript
        yield from checks.qualified_name(path, key)
        return
    elif subscripted:
        why = f"field label does not support subscript: {field}"
    elif field not in KNOWN_FIELDS:
        why = f"field label not supported: {field}"
    else:
        yield from checks.supported(f"{path}.fieldPath", field, allowed)
        return
    yield FieldError.invalid(f"{path}.fieldPath", field, f"error converting fieldPath: {why}")


def validate_resource_ref(path: str, reference: Object, *, in_volume: bool) -> checks.Errors:
    """Check a reference to a container's request or limit."""
    resource = reference.get("resource", "")
    if in_volume and not reference.get("containerName"):
        yield FieldError.required(f"{path}.containerName")
    elif not resource:
        yield FieldError.required(f"{path}.resource")
    elif resource not in RESOURCES and not resource.startswith(("limits.hugepages-", "requests.hugepages-")):
        yield FieldError.not_supported(f"{path}.resource", resource, RESOURCES)
    divisor = str(reference.get("divisor", "0"))
    if quantity.parse(divisor) == 0:
        return
    if resource.endswith(".cpu"):
        if divisor not in ("1", "1m"):
            why = "only divisor's values 1m and 1 are supported with the cpu resource"
            yield FieldError.invalid(f"{path}.divisor", resource, why)
    elif resource and divisor not in BYTE_DIVISORS:
        what = "local ephemeral storage" if resource.endswith("storage") else "memory"
        why = f"only divisor's values {', '.join(BYTE_DIVISORS)} are supported with the {what} resource"
        yield FieldError.invalid(f"{path}.divisor", resource, why)
