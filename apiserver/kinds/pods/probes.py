"""Checks of probes and lifecycle hooks (upstream: validateProbe, validateLifecycle, validateHandler)."""

from __future__ import annotations

from apiserver.model import checks
from machinery import validation
from machinery.errors import FieldError
from machinery.objects import Object

PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
COUNTS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def validate_probes(path: str, container: Object, spec: Object) -> checks.Errors:
    """Check the liveness, readiness and startup probes of a container."""
    for field in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(field)
        if probe is None:
            continue
        at = f"{path}.{field}"
        yield from _validate_handler(at, probe, PROBE_HANDLERS, spec)
        for count in COUNTS:
            yield from checks.not_negative(f"{at}.{count}", probe.get(count))
        grace = probe.get("terminationGracePeriodSeconds")
        if grace is not None and grace <= 0:
            yield FieldError.invalid(f"{at}.terminationGracePeriodSeconds", grace, "must be greater than 0")
        if field == "readinessProbe":
            if grace is not None:
                why = "must not be set for readinessProbes"
                yield FieldError.invalid(f"{at}.terminationGracePeriodSeconds", grace, why)
        elif probe.get("successThreshold") != 1:
            yield FieldError.invalid(f"{at}.successThreshold", probe.get("successThreshold", 0), "must be 1")


def validate_lifecycle(path: str, container: Object, spec: Object) -> checks.Errors:
    """Check the postStart and preStop hooks of a container."""
    lifecycle = container.get("lifecycle", {})
    for hook in ("postStart", "preStop"):
        if lifecycle.get(hook) is not None:
            yield from _validate_handler(f"{path}.{hook}", lifecycle[hook], HOOK_HANDLERS, spec)


def _validate_handler(path: str, handler: Object, known: tuple[str, ...], spec: Object) -> checks.Errors:
    given = [field for field in known if handler.get(field) is not None]
    for extra in given[1:]:
        yield FieldError.forbidden(f"{path}.{extra}", "may not specify more than 1 handler type")
    if not given:
        yield FieldError.required(path, "must specify a handler type")
        return
    field = given[0]
    at, action = f"{path}.{field}", handler[field]
    match field:
        case "exec":
            yield from checks.required(f"{at}.command", action.get("command"))
        case "httpGet":
            yield from _validate_http_get(at, action)
        case "tcpSocket" | "grpc":
            yield from checks.port_or_name(f"{at}.port", action.get("port", 0))
        case "sleep":
            yield from _validate_sleep(at, action, spec.get("terminationGracePeriodSeconds"))


def _validate_http_get(path: str, action: Object) -> checks.Errors:
    yield from checks.required(f"{path}.path", action.get("path"))
    yield from checks.port_or_name(f"{path}.port", action.get("port", 0))
    yield from checks.supported(f"{path}.scheme", action.get("scheme", ""), ("HTTP", "HTTPS"))
    for header in action.get("httpHeaders", ()):
        name = header.get("name", "")
        yield from checks.invalid(f"{path}.httpHeaders", name, validation.is_http_header_name(name))


def _validate_sleep(path: str, action: Object, grace: int | None) -> checks.Errors:
    seconds = action.get("seconds", 0)
    if grace is not None and not 0 < seconds <= grace:
        why = (
            f"must be greater than 0 and less than terminationGracePeriodSeconds ({grace}). "
            "Enable AllowPodLifecycleSleepActionZeroValue feature gate for zero sleep."
        )
        yield FieldError.invalid(path, seconds, why)
