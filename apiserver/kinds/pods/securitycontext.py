"""Checks of the security contexts of pods and containers.

Upstream: ValidateSecurityContext and validatePodSpecSecurityContext.
"""

from __future__ import annotations

import re

from apiserver.kinds import checks
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
    if policy is not None and policy not in ("Always", "OnRootMismatch"):
        yield FieldError.not_supported(f"{path}.fsGroupChangePolicy", policy, ("Always", "OnRootMismatch"))
    yield from _profiles(path, context)


def validate_container_security(path: str, context: Object) -> checks.Errors:
    yield from _ids(path, context, "runAsUser", "runAsGroup")
    mount = context.get("procMount")
    if mount is not None and mount not in ("Default", "Unmasked"):
        yield FieldError.not_supported(f"{path}.procMount", mount, ("Default", "Unmasked"))
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
    seccomp = context.get("seccompProfile")
    if seccomp is not None:
        yield from _seccomp(f"{path}.seccompProfile", seccomp)
    armor = context.get("appArmorProfile")
    if armor is not None:
        yield from _app_armor(f"{path}.appArmorProfile", armor)


def _seccomp(path: str, profile: Object) -> checks.Errors:
    type, file = profile.get("type"), profile.get("localhostProfile")
    if not type:
        yield FieldError.required(f"{path}.type", "type is required when seccompProfile is set")
    elif type not in PROFILE_TYPES:
        yield FieldError.not_supported(f"{path}.type", type, PROFILE_TYPES)
    if type == "Localhost" and not file:
        yield FieldError.required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
    elif type != "Localhost" and file is not None:
        why = "can only be set when seccomp type is Localhost"
        yield FieldError.invalid(f"{path}.localhostProfile", file, why)


def _app_armor(path: str, profile: Object) -> checks.Errors:
    type, file = profile.get("type"), profile.get("localhostProfile")
    if not type:
        yield FieldError.required(f"{path}.type", "type is required when appArmorProfile is set")
    elif type not in PROFILE_TYPES:
        yield FieldError.not_supported(f"{path}.type", type, PROFILE_TYPES)
    elif type == "Localhost" and not (file or "").strip():
        yield FieldError.required(f"{path}.localhostProfile", "must be set when AppArmor type is Localhost")
    elif type != "Localhost" and file is not None:
        why = "can only be set when AppArmor type is Localhost"
        yield FieldError.invalid(f"{path}.localhostProfile", file, why)
