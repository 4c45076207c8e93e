"""The checks of the level baseline, which forbids known privilege escalations (upstream: policy/check_*.go)."""

from __future__ import annotations

from apiserver.podsecurity.findings import (
    Check,
    CheckPod,
    Violation,
    collect,
    containers,
    named,
    plural,
    quoted,
    security,
    setters,
)
from machinery.errors import quote
from machinery.objects import Object

APPARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_PREFIX = "container.seccomp.security.alpha.kubernetes.io/"
PROFILES = ("RuntimeDefault", "Localhost")
CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)
# Minor version → the sysctls that are allowed from it on, beside those of earlier ones.
SYSCTLS = {
    0: (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
    ),
    27: ("net.ipv4.ip_local_reserved_ports",),
    29: (
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
    ),
    32: ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
}
SELINUX_TYPES = {0: ("", "container_t", "container_init_t", "container_kvm_t"), 31: ("container_engine_t",)}


def _forbidden_profiles(spec: Object, field: str, *, missing: str) -> tuple[list[str], list[str]]:
    """Return who sets a profile of a forbidden type, and these types; ``missing`` is that of a profile without one."""
    types: set[str] = set()

    def is_bad(context: Object) -> bool:
        type = context[field].get("type", missing) if field in context else PROFILES[0]
        if type not in PROFILES:
            types.add(type)
        return type not in PROFILES

    return setters(spec, is_bad), sorted(types)


def _apparmor(metadata: Object, spec: Object) -> Violation | None:
    found, values = _forbidden_profiles(spec, "appArmorProfile", missing=PROFILES[0])
    annotations = sorted(
        f"{name}={quote(value)}"
        for name, value in metadata.get("annotations", {}).items()
        if name.startswith(APPARMOR_PREFIX)
        and value not in ("", "runtime/default")
        and not value.startswith("localhost/")
    )
    if annotations:
        found.append(plural("annotation", len(annotations)))
    if not found:
        return None
    forbidden = [*values, *annotations]
    reason = plural("forbidden AppArmor profile", len(forbidden))
    return Violation(reason, f"{' and '.join(found)} must not set AppArmor profile type to {quoted(forbidden)}")


def _capabilities(metadata: Object, spec: Object) -> Violation | None:
    bad, added = added_capabilities(spec, CAPABILITIES)
    if not bad:
        return None
    detail = f"{named(bad)} must not include {quoted(added)} in securityContext.capabilities.add"
    return Violation("non-default capabilities", detail)


def added_capabilities(spec: Object, allowed: frozenset[str]) -> tuple[list[str], list[str]]:
    """Return the containers that add capabilities other than these, and the capabilities."""
    return collect(spec, lambda each: set(security(each).get("capabilities", {}).get("add", ())) - allowed)


def _host_namespaces(metadata: Object, spec: Object) -> Violation | None:
    found = [field for field in ("hostIPC", "hostNetwork", "hostPID") if spec.get(field)]
    return Violation("host namespaces", ", ".join(f"{field}=true" for field in found)) if found else None


def _host_path_volumes(metadata: Object, spec: Object) -> Violation | None:
    found = [volume["name"] for volume in spec.get("volumes", ()) if volume.get("hostPath") is not None]
    return Violation("hostPath volumes", f"{plural('volume', len(found))} {quoted(found)}") if found else None


def _host_ports(metadata: Object, spec: Object) -> Violation | None:
    bad, ports = collect(spec, lambda each: {str(p["hostPort"]) for p in each.get("ports", ()) if p.get("hostPort")})
    if not bad:
        return None
    verb = "uses" if len(bad) == 1 else "use"
    return Violation("hostPort", f"{named(bad)} {verb} {plural('hostPort', len(ports))} {', '.join(ports)}")


def _privileged(metadata: Object, spec: Object) -> Violation | None:
    bad = [container["name"] for container in containers(spec) if security(container).get("privileged")]
    return Violation("privileged", f"{named(bad)} must not set securityContext.privileged=true") if bad else None


def _proc_mount(metadata: Object, spec: Object) -> Violation | None:
    bad, mounts = collect(spec, lambda each: {security(each).get("procMount", "Default")} - {"Default"})
    detail = f"{named(bad)} must not set securityContext.procMount to {quoted(mounts)}"
    return Violation("procMount", detail) if bad else None


def _selinux(minor: int) -> CheckPod:
    types = {name for since, names in SELINUX_TYPES.items() if since <= minor for name in names}

    def check(metadata: Object, spec: Object) -> Violation | None:
        seen: dict[str, set[str]] = {"type": set(), "user": set(), "role": set()}

        def is_bad(context: Object) -> bool:
            options = context.get("seLinuxOptions", {})
            bad = {field: options[field] for field in ("user", "role") if options.get(field)}
            if (options.get("type") or "") not in types:
                bad["type"] = options["type"]
            for field, value in bad.items():
                seen[field].add(value)
            return bool(bad)

        found = setters(spec, is_bad)
        if not found:
            return None
        data = []
        if seen["type"]:
            data.append(f"{plural('type', len(seen['type']))} {quoted(sorted(seen['type']))}")
        data += [f"{field} may not be set" for field in ("user", "role") if seen[field]]
        detail = f"{' and '.join(found)} set forbidden securityContext.seLinuxOptions: {'; '.join(data)}"
        return Violation("seLinuxOptions", detail)

    return check


def _seccomp_annotations(metadata: Object, spec: Object) -> Violation | None:
    """Check the annotations, which were used before there was a field."""
    names = [SECCOMP_POD, *(SECCOMP_PREFIX + container["name"] for container in containers(spec))]
    annotations = metadata.get("annotations", {})
    bad = sorted(
        f"{name}={quote(annotations[name])}"
        for name in names
        if name in annotations
        and annotations[name] not in ("runtime/default", "docker/default")
        and not annotations[name].startswith("localhost/")
    )
    if not bad:
        return None
    return Violation("seccompProfile", f"forbidden {plural('annotation', len(bad))} {', '.join(bad)}")


def seccomp(metadata: Object, spec: Object) -> Violation | None:
    """Check that a seccomp profile, where one is set, is RuntimeDefault or Localhost."""
    found, values = _forbidden_profiles(spec, "seccompProfile", missing="")
    if not found:
        return None
    detail = f"{' and '.join(found)} must not set securityContext.seccompProfile.type to {quoted(values)}"
    return Violation("seccompProfile", detail)


def _sysctls(minor: int) -> CheckPod:
    allowed = {name for since, names in SYSCTLS.items() if since <= minor for name in names}

    def check(metadata: Object, spec: Object) -> Violation | None:
        names = [sysctl["name"] for sysctl in security(spec).get("sysctls", ()) if sysctl["name"] not in allowed]
        return Violation("forbidden sysctls", ", ".join(names)) if names else None

    return check


def _windows_host_process(metadata: Object, spec: Object) -> Violation | None:
    found = setters(spec, lambda context: bool(context.get("windowsOptions", {}).get("hostProcess")))
    if not found:
        return None
    return Violation(
        "hostProcess", f"{' and '.join(found)} must not set securityContext.windowsOptions.hostProcess=true"
    )


# The order is upstream's: that of the ids' bytes.
CHECKS: tuple[Check, ...] = (
    Check("appArmorProfile", ((0, _apparmor),)),
    Check("capabilities_baseline", ((0, _capabilities),)),
    Check("hostNamespaces", ((0, _host_namespaces),)),
    Check("hostPathVolumes", ((0, _host_path_volumes),)),
    Check("hostPorts", ((0, _host_ports),)),
    Check("privileged", ((0, _privileged),)),
    Check("procMount", ((0, _proc_mount),)),
    Check("seLinuxOptions", tuple((since, _selinux(since)) for since in SELINUX_TYPES)),
    Check("seccompProfile_baseline", ((0, _seccomp_annotations), (19, seccomp))),
    Check("sysctls", tuple((since, _sysctls(since)) for since in SYSCTLS)),
    Check("windowsHostProcess", ((0, _windows_host_process),)),
)
