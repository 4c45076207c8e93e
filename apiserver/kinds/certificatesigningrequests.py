"""CertificateSigningRequests: a client creates one, somebody approves it, and a signer adds the certificate.

Upstream: pkg/registry/certificates/certificates and pkg/apis/certificates/validation. Each of the three writes
through a path of its own: the object itself (once), ``approval`` (conditions), ``status`` (the certificate).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

from apiserver.kinds.cells import AGE, NAME, NONE
from apiserver.kinds.strategies import StatusStrategy, restore
from apiserver.kinds.subresources import READ_WRITE, STATUS
from apiserver.model import checks
from apiserver.model.kind import Column, Kind, Subresource
from apiserver.model.printing import human_duration
from apiserver.schema.codec import upstream
from machinery.errors import FieldError, GoValue
from machinery.objects import Object, now
from machinery.pemcertificates import check_certificates, check_request
from machinery.validation import is_dns1123_label, is_dns1123_subdomain, is_path_segment_name

if TYPE_CHECKING:
    from apiserver.model.user import User

APPROVED, DENIED, FAILED = "Approved", "Denied", "Failed"
# Conditions that are final: they can be neither false nor taken back.
FINAL = (APPROVED, DENIED, FAILED)
STATUSES = ("False", "True", "Unknown")
LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)
MIN_EXPIRATION = 600
MAX_DOMAIN = 253
MAX_SIGNER_NAME = MAX_DOMAIN + 1 + 63 + 1 + 253
CONDITIONS = "status.conditions"
# What each path owns of the object; nobody can change the spec.
_RESET: Mapping[str, Mapping[str, Any]] = {
    "": {"f:spec": {}, "f:status": {}},
    "status": {"f:spec": {}, "f:status": {"f:conditions": {}}},
    "approval": {"f:spec": {}, "f:status": {"f:certificate": {}}},
}


class CertificateSigningRequestStrategy(StatusStrategy):
    def validate_name(self, name: str) -> list[str]:
        """Accept every name, as upstream does."""
        return is_path_segment_name(name)

    def reset_fields(self, subresource: str) -> Mapping[str, Any]:
        return _RESET[subresource]

    def record_creator(self, obj: Object, user: User) -> None:
        spec = obj.setdefault("spec", {})
        extra = {key: list(values) for key, values in user.extra.items()}
        known = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": extra}
        for field, value in known.items():
            spec.pop(field, None)
            if value:
                spec[field] = value

    def validate(self, obj: Object) -> checks.Errors:
        return chain(_validate_spec(obj["spec"]), _validate_conditions(_conditions(obj)))

    def prepare_update(self, new: Object, old: Object) -> None:
        """Restore spec and status: the request itself never changes."""
        restore(new, "spec", old)
        restore(new, "status", old)

    def validate_update(self, new: Object, old: Object) -> checks.Errors:
        return _validate_change(new, old)

    def prepare_status_update(self, new: Object, old: Object) -> None:
        """Restore approvals and denials, in their places: only the approval subresource may change them."""
        restore(new, "spec", old)
        conditions = _conditions(new)
        for type in (APPROVED, DENIED):
            before = _of_type(old, type)
            places = [index for index, condition in enumerate(conditions) if condition.get("type") == type]
            if len(places) == len(before):
                for index, condition in zip(places, before, strict=True):
                    conditions[index] = condition
        _fill_in_times(conditions, _conditions(old))

    def validate_status_update(self, new: Object, old: Object) -> checks.Errors:
        return _validate_change(new, old, may_set_certificate=True)

    def prepare_part_update(self, part: str, new: Object, old: Object) -> None:
        """Restore all of the status except its conditions: ``approval`` may change nothing else."""
        conditions = _conditions(new)
        _fill_in_times(conditions, _conditions(old))
        restore(new, "spec", old)
        status = {field: value for field, value in old.get("status", {}).items() if field != "conditions"}
        new["status"] = {**({"conditions": conditions} if conditions else {}), **status}

    def validate_part_update(self, part: str, new: Object, old: Object) -> checks.Errors:
        return _validate_change(new, old, may_approve=True)

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {"spec.signerName": obj.get("spec", {}).get("signerName", "")}


def _conditions(obj: Object) -> list[Object]:
    conditions: list[Object] = obj.get("status", {}).get("conditions", [])
    return conditions


def _of_type(obj: Object, type: str) -> list[Object]:
    return [condition for condition in _conditions(obj) if condition.get("type") == type]


def _certificate(obj: Object) -> str:
    return obj.get("status", {}).get("certificate") or ""


def _fill_in_times(conditions: list[Object], before: list[Object]) -> None:
    for condition in conditions:
        time = now()
        condition["lastUpdateTime"] = condition.get("lastUpdateTime") or time
        same = (
            old["lastTransitionTime"]
            for old in before
            if old.get("lastTransitionTime")
            and (old.get("type"), old.get("status")) == (condition.get("type"), condition.get("status"))
        )
        condition["lastTransitionTime"] = condition.get("lastTransitionTime") or next(same, time)


def _validate_spec(spec: Object) -> checks.Errors:
    pem = base64.b64decode(spec.get("request") or "")
    try:
        check_request(pem)
    except ValueError as error:
        shown = "[]byte{" + ", ".join(f"{byte:#x}" for byte in pem) + "}"
        yield FieldError.invalid("spec.request", GoValue(shown), str(error))
    usages = spec.get("usages", [])
    if not usages:
        yield FieldError.required("spec.usages", "usages must be provided")
    for index, usage in enumerate(usages):
        if usage not in USAGES:
            yield FieldError.not_supported(f"spec.usages[{index}]", usage, USAGES)
    yield from checks.unique("spec.usages", usages)
    signer = spec.get("signerName") or ""
    if signer == LEGACY_SIGNER:
        why = "the legacy signerName is not allowed via this API version"
        yield FieldError.invalid("spec.signerName", signer, why)
    else:
        yield from validate_signer_name("spec.signerName", signer)
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < MIN_EXPIRATION:
        why = f"may not specify a duration less than {MIN_EXPIRATION} seconds (10 minutes)"
        yield FieldError.invalid("spec.expirationSeconds", seconds, why)


def validate_signer_name(path: str, name: str) -> checks.Errors:
    """Check a name such as ``example.com/signer``: a domain, a slash, and a path that may be ``namespace.name``."""
    if not name:
        yield FieldError.required(path, "signerName must be provided")
        return
    segments = name.split("/")
    if len(segments) != 2:
        why = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        yield FieldError.invalid(path, name, why)
        return
    domain, rest = segments
    if len(domain) > MAX_DOMAIN:
        yield FieldError.too_long(path, MAX_DOMAIN)
    yield from _validate_labels(path, domain, ((label, is_dns1123_label(label)) for label in domain.split(".")))
    if "." not in domain:
        yield FieldError.invalid(path, domain, "should be a domain with at least two segments separated by dots")
    yield from _validate_labels(path, rest, ((label, is_dns1123_subdomain(label)) for label in rest.split(".")))
    if len(name) > MAX_SIGNER_NAME:
        yield FieldError.too_long(path, MAX_SIGNER_NAME)


def _validate_labels(path: str, segment: str, found: Iterator[tuple[str, list[str]]]) -> checks.Errors:
    """Yield the problems of the first label that has any; those of the others would read alike."""
    label, problems = next(((label, problems) for label, problems in found if problems), ("", []))
    for problem in problems:
        yield FieldError.invalid(path, segment, f'validating label "{label}": {problem}')


def _validate_conditions(conditions: list[Object]) -> checks.Errors:
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        path, type, status = f"{CONDITIONS}[{index}]", condition.get("type") or "", condition.get("status")
        yield from checks.required(f"{path}.type", type)
        yield from checks.one_of(f"{path}.status", status, ("True",) if type in FINAL else STATUSES)
        if {APPROVED: DENIED, DENIED: APPROVED}.get(type) in seen:
            why = "Approved and Denied conditions are mutually exclusive"
            yield FieldError.invalid(f"{path}.type", type, why)
        if type in seen:
            yield FieldError.duplicate(f"{path}.type", type)
        seen.add(type)


def _validate_change(
    new: Object, old: Object, *, may_approve: bool = False, may_set_certificate: bool = False
) -> checks.Errors:
    yield from _validate_spec(new["spec"])
    yield from _validate_conditions(_conditions(new))
    certificate, before = _certificate(new), _certificate(old)
    if certificate and certificate != before:
        try:
            check_certificates(base64.b64decode(certificate))
        except ValueError as error:
            yield FieldError.invalid("status.certificate", "<certificate data>", str(error))
    for type in FINAL:
        added = len(_of_type(new, type)) - len(_of_type(old, type))
        if added < 0:
            yield FieldError.forbidden(CONDITIONS, f'updates may not remove a condition of type "{type}"')
        elif added > 0 and type != FAILED and not may_approve:
            yield FieldError.forbidden(CONDITIONS, f'updates may not add a condition of type "{type}"')
    if certificate != before:
        if not may_set_certificate:
            yield FieldError.forbidden("status.certificate", "updates may not set certificate content")
        elif before:
            yield FieldError.forbidden("status.certificate", "updates may not modify existing certificate content")


def _condition(obj: Object) -> str:
    types = {condition.get("type") for condition in _conditions(obj)}
    words = [DENIED if DENIED in types else APPROVED if APPROVED in types else "Pending"]
    if FAILED in types:
        words.append(FAILED)
    if _certificate(obj):
        words.append("Issued")
    return ",".join(words)


def _duration(obj: Object) -> str:
    seconds = obj["spec"].get("expirationSeconds")
    return NONE if seconds is None else human_duration(seconds)


CERTIFICATE_SIGNING_REQUESTS = Kind(
    *upstream("certificates.k8s.io", "CertificateSigningRequest"),
    namespaced=False,
    short_names=("csr",),
    subresources=(Subresource("approval", READ_WRITE), STATUS),
    strategy=CertificateSigningRequestStrategy(),
    columns=(
        NAME,
        AGE,
        Column("SignerName", lambda obj: obj["spec"].get("signerName") or NONE),
        Column("Requestor", lambda obj: obj["spec"].get("username", "")),
        Column("RequestedDuration", _duration),
        Column("Condition", _condition),
    ),
)
