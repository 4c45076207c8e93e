"""The checks that the level restricted adds to baseline: current hardening practice (upstream: policy/check_*.go)."""

from __future__ import annotations

from apiserver.podsecurity.baseline import added_capabilities, seccomp
from apiserver.podsecurity.findings import (
    Check,
    CheckPod,
    Violation,
    containers,
    named,
    plural,
    quoted,
    security,
    setters,
)
from machinery.objects import Object

VOLUME_TYPES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
)


def _linux_only(check: CheckPod) -> CheckPod:
    """Return a check that skips pods for Windows, as of v1.25, because it is about what only Linux has."""
    return lambda metadata, spec: None if spec.get("os", {}).get("name") == "windows" else check(metadata, spec)


def _privilege_escalation(metadata: Object, spec: Object) -> Violation | None:
    bad = [c["name"] for c in containers(spec) if security(c).get("allowPrivilegeEscalation") is not False]
    if not bad:
        return None
    detail = f"{named(bad)} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", detail)


def _capabilities(metadata: Object, spec: Object) -> Violation | None:
    keeping = [
        container["name"]
        for container in containers(spec)
        if "ALL" not in (security(container).get("capabilities", {}).get("drop", ()))
    ]
    adding, added = added_capabilities(spec, frozenset({"NET_BIND_SERVICE"}))
    details = []
    if keeping:
        details.append(f'{named(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        details.append(f"{named(adding)} must not include {quoted(added)} in securityContext.capabilities.add")
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


def _volumes(metadata: Object, spec: Object) -> Violation | None:
    names: set[str] = set()
    types: set[str] = set()
    for volume in spec.get("volumes", ()):
        sources = [field for field, source in volume.items() if field != "name" and source is not None]
        if not VOLUME_TYPES.intersection(sources):
            names.add(volume["name"])
            types.add(sources[0] if sources else "unknown")
    if not names:
        return None
    verb = "uses" if len(names) == 1 else "use"
    detail = (
        f"{plural('volume', len(names))} {quoted(sorted(names))} {verb} "
        f"restricted {plural('volume type', len(types))} {quoted(sorted(types))}"
    )
    return Violation("restricted volume types", detail)


def _run_as_non_root(metadata: Object, spec: Object) -> Violation | None:
    found = setters(spec, lambda context: context.get("runAsNonRoot") is False)
    if found:
        return Violation(
            "runAsNonRoot != true", f"{' and '.join(found)} must not set securityContext.runAsNonRoot=false"
        )
    if security(spec).get("runAsNonRoot"):
        return None
    silent = [c["name"] for c in containers(spec) if security(c).get("runAsNonRoot") is None]
    if not silent:
        return None
    return Violation("runAsNonRoot != true", f"pod or {named(silent)} must set securityContext.runAsNonRoot=true")


def _run_as_user(metadata: Object, spec: Object) -> Violation | None:
    found = setters(spec, lambda context: context.get("runAsUser") == 0)
    return Violation("runAsUser=0", f"{' and '.join(found)} must not set runAsUser=0") if found else None


def _seccomp(metadata: Object, spec: Object) -> Violation | None:
    """Check that a seccomp profile is set, and allowed by baseline."""
    violation = seccomp(metadata, spec)
    if violation or security(spec).get("seccompProfile") is not None:
        return violation
    silent = [c["name"] for c in containers(spec) if security(c).get("seccompProfile") is None]
    if not silent:
        return None
    why = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Violation("seccompProfile", f"pod or {named(silent)} {why}")


# The order is upstream's.
CHECKS: tuple[Check, ...] = (
    Check("allowPrivilegeEscalation", ((8, _privilege_escalation), (25, _linux_only(_privilege_escalation)))),
    Check(
        "capabilities_restricted", ((22, _capabilities), (25, _linux_only(_capabilities))), ("capabilities_baseline",)
    ),
    Check("restrictedVolumes", ((0, _volumes),), ("hostPathVolumes",)),
    Check("runAsNonRoot", ((0, _run_as_non_root),)),
    Check("runAsUser", ((23, _run_as_user),)),
    Check("seccompProfile_restricted", ((19, _seccomp), (25, _linux_only(_seccomp))), ("seccompProfile_baseline",)),
)
