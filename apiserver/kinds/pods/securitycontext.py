"""Checks of the security contexts of pods and containers.

Upstream: ValidateSecurityContext and validatePodSpecSecurityContext.
"""

from __future__ import annotations

import re

from apiserver.model import checks
from machinery.errors import FieldError
from machinery.objects import Object
from machinery.validation import in_range

PROFILE_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
_SYSCTL = "([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL_MAX = 253


def validate_pod_security(path: str, spec: Object) -> checks.Errors:
    context = spec.get("securityContext", {})
    yield from _ids(path, context, "fsGroup", "runAsUser", "runAsGroup")
    for index, group in enumerate(context.get("supplementalGroups", ())):
        yield from _id(f"{path}.supplementalGroups[{index}]", group)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        why = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield FieldError.invalid(f"{path}.shareProcessNamespace", True, why)
    yield from _sysctls(f"{path}.sysctls", spec, context.get("sysctls", []))
    policy = context.get("fsGroupChangePolicy")
    yield from checks.supported(f"{path}.fsGroupChangePolicy", policy, ("Always", "OnRootMismatch"))
    yield from _profiles(path, context)


def validate_container_security(path: str, context: Object) -> checks.Errors:
    yield from _ids(path, context, "runAsUser", "runAsGroup")
    yield from checks.supported(f"{path}.procMount", context.get("procMount"), ("Default", "Unmasked"))
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            yield FieldError.invalid(path, context, why)
        if "CAP_SYS_ADMIN" in context.get("capabilities", {}).get("add", ()):
            why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            yield FieldError.invalid(path, context, why)
    yield from _profiles(path, context)


def _ids(path: str, context: Object, *fields: str) -> checks.Errors:
    for field in fields:
        if context.get(field) is not None:
            yield from _id(f"{path}.{field}", context[field])


def _id(path: str, value: int) -> checks.Errors:
    if not 0 <= value <= checks.MAX_INT32:
        yield FieldError.invalid(path, value, in_range(0, checks.MAX_INT32))


def _sysctls(path: str, spec: Object, sysctls: list[Object]) -> checks.Errors:
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        at, name = f"{path}[{index}].name", sysctl.get("name", "")
        if not name:
            yield FieldError.required(at)
        elif len(name) > _SYSCTL_MAX or not re.fullmatch(_SYSCTL, name):
            why = f"must have at most {_SYSCTL_MAX} characters and match regex ^{_SYSCTL}$"
            yield FieldError.invalid(at, name, why)
        elif name in seen:
            yield FieldError.duplicate(at, name)
        seen.add(name)
        if spec.get("hostNetwork") and name.replace("/", ".").startswith("net."):
            yield FieldError.invalid(at, name, "may not be specified when 'hostNetwork' is true")


def _profiles(path: str, context: Object) -> checks.Errors:
    for field, what in (("seccompProfile", "seccomp"), ("appArmorProfile", "AppArmor")):
        if field in context:
            yield from _profile(f"{path}.{field}", field, what, context[field])


def _profile(path: str, field: str, what: str, profile: Object) -> checks.Errors:
    type, file = profile.get("type"), profile.get("localhostProfile")
    if not type:
        yield FieldError.required(f"{path}.type", f"type is required when {field} is set")
    else:
        yield from checks.supported(f"{path}.type", type, PROFILE_TYPES)
    if what == "AppArmor" and type not in PROFILE_TYPES:
        return  # only for seccomp does upstream also check the file of an unknown type
    if type == "Localhost":
        if not file or (what == "AppArmor" and not file.strip()):
            yield FieldError.required(f"{path}.localhostProfile", f"must be set when {what} type is Localhost")
    elif file is not None:
        yield FieldError.invalid(f"{path}.localhostProfile", file, f"can only be set when {what} type is Localhost")
