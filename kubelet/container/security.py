"""Turn the securityContext of pod and container into the runtime's settings, with upstream's refusals. Pure."""

from __future__ import annotations

import re
from typing import Any

from kubelet.container.env import ConfigError
from kubelet.model import podspec
from kubelet.model.runtime import RuntimeImage, SecurityConfig
from machinery.objects import Object

_NUMBER = re.compile("[+-]?[0-9]+")


def security(pod: Object, spec: podspec.Spec, image: RuntimeImage) -> SecurityConfig:
    of_pod, own = pod["spec"].get("securityContext", {}), spec.get("securityContext", {})
    user = _either(own, of_pod, "runAsUser")
    if _either(own, of_pod, "runAsNonRoot"):
        _verify_non_root(pod, spec, user, image)
    capabilities = own.get("capabilities", {})
    return SecurityConfig(
        user=_user(user, _either(own, of_pod, "runAsGroup"), image),
        groups=_groups(of_pod),
        privileged=bool(own.get("privileged")),
        capabilities_add=tuple(capabilities.get("add", ())),
        capabilities_drop=tuple(capabilities.get("drop", ())),
        read_only_root=bool(own.get("readOnlyRootFilesystem")),
        options=_options(of_pod, own),
        unmasked_proc=own.get("procMount") == "Unmasked",
    )


def _either(own: dict[str, Any], of_pod: dict[str, Any], field: str) -> Any:
    """Return a field of the container's securityContext or, if it has none, of the pod's."""
    return own[field] if own.get(field) is not None else of_pod.get(field)


def _verify_non_root(pod: Object, spec: podspec.Spec, user: int | None, image: RuntimeImage) -> None:
    where = f'(pod: "{podspec.title(pod)}", container: {spec["name"]})'
    if user is not None:
        if user == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    name = image.user.partition(":")[0]
    # 00 and +0 are root's number as well; no other text becomes a number for the runtime.
    number = int(name) if _NUMBER.fullmatch(name) else None
    if name == "" or number == 0:
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
    if number is None:
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({name}), "
            f"cannot verify user is non-root {where}"
        )


def _user(user: int | None, group: int | None, image: RuntimeImage) -> str:
    name = str(user) if user is not None else image.user.partition(":")[0]
    if group is not None:
        return f"{name or '0'}:{group}"
    return str(user) if user is not None else ""  # the image's own user and group


def _groups(of_pod: dict[str, Any]) -> tuple[str, ...]:
    groups = [str(group) for group in of_pod.get("supplementalGroups", ())]
    if of_pod.get("fsGroup") is not None:
        groups.append(str(of_pod["fsGroup"]))
    return tuple(dict.fromkeys(groups))


def _options(of_pod: dict[str, Any], own: dict[str, Any]) -> tuple[str, ...]:
    """Return Docker's security options. seLinuxOptions and AppArmor profiles are ignored.

    Without a seccompProfile upstream runs containers unconfined (seccompDefault is off).
    """
    options = []
    if own.get("allowPrivilegeEscalation") is False:
        options.append("no-new-privileges")
    profile = (own.get("seccompProfile") or of_pod.get("seccompProfile", {})).get("type", "Unconfined")
    if profile == "Unconfined":
        options.append("seccomp=unconfined")
    elif profile == "Localhost":
        raise ConfigError("seccompProfile Localhost is not supported here: use RuntimeDefault or Unconfined")
    return tuple(options)
