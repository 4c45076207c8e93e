"""Check certificate requests by the rules of Kubernetes' own signers (upstream: pkg/apis/certificates/helpers.go).

Each rule returns what is wrong, in upstream's words, or an empty string.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, NamedTuple

from machinery.objects import Object, get_condition
from machinery.pemcertificates import common_name, organizations

if TYPE_CHECKING:
    from cryptography import x509

API_CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
LEGACY = "kubernetes.io/legacy-unknown"

NODE_PREFIX, NODES = "system:node:", "system:nodes"
SIGNATURE, ENCIPHERMENT = "digital signature", "key encipherment"
CLIENT_AUTH, SERVER_AUTH = "client auth", "server auth"


class Names(NamedTuple):
    """The subject alternative names of a request."""

    dns: Collection[object]
    addresses: Collection[object]
    emails: Collection[object]
    uris: Collection[object]


def names_of(request: x509.CertificateSigningRequest) -> Names:
    """Return the subject alternative names of a request."""
    from cryptography import x509

    try:
        extension = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return Names((), (), (), ())
    return Names(
        extension.get_values_for_type(x509.DNSName),
        extension.get_values_for_type(x509.IPAddress),
        extension.get_values_for_type(x509.RFC822Name),
        extension.get_values_for_type(x509.UniformResourceIdentifier),
    )


Rule = Callable[["x509.CertificateSigningRequest", Collection[str]], str]


def kubelet_client(request: x509.CertificateSigningRequest, usages: Collection[str]) -> str:
    """Check a kubelet's client certificate: it is for a node, and for no other names."""
    if organizations(request.subject) != [NODES]:
        return f"subject organization is not {NODES}"
    names = names_of(request)
    for what, found in (("DNS", names.dns), ("Email", names.emails), ("IP", names.addresses), ("URI", names.uris)):
        if found:
            return f"{what} subjectAltNames are not allowed"
    if not common_name(request.subject).startswith(NODE_PREFIX):
        return f"subject common name does not begin with {NODE_PREFIX}"
    return _usages(usages, CLIENT_AUTH)


def kubelet_serving(request: x509.CertificateSigningRequest, usages: Collection[str]) -> str:
    """Check a kubelet's server certificate: it has a DNS name or an address."""
    if organizations(request.subject) != [NODES]:
        return f"subject organization is not {NODES}"
    names = names_of(request)
    if not names.dns and not names.addresses:
        return "DNS or IP subjectAltName is required"
    for what, found in (("Email", names.emails), ("URI", names.uris)):
        if found:
            return f"{what} subjectAltNames are not allowed"
    if fault := _usages(usages, SERVER_AUTH):
        return fault
    if not common_name(request.subject).startswith(NODE_PREFIX):
        return f"subject common name does not begin with {NODE_PREFIX}"
    return ""


def _usages(usages: Collection[str], auth: str) -> str:
    """Check that the usages are exactly these; key encipherment is optional, as elliptic curve keys cannot do it."""
    needed = {SIGNATURE, auth}
    if set(usages) in (needed, needed | {ENCIPHERMENT}):
        return ""
    return f"usages did not match [{' '.join(sorted(needed | {ENCIPHERMENT}))}]"


def api_client(request: x509.CertificateSigningRequest, usages: Collection[str]) -> str:
    """Check the certificate of any client of the API server."""
    for usage in usages:
        if usage not in (SIGNATURE, ENCIPHERMENT, CLIENT_AUTH):
            return f"invalid usage for client certificate: {usage}"
    return "" if CLIENT_AUTH in usages else f"missing required usage for client certificate: {CLIENT_AUTH}"


def legacy(request: x509.CertificateSigningRequest, usages: Collection[str]) -> str:
    """Accept everything, as before requests named their signer."""
    return ""


SIGNERS: dict[str, Rule] = {
    API_CLIENT: api_client,
    KUBELET_CLIENT: kubelet_client,
    KUBELET_SERVING: kubelet_serving,
    LEGACY: legacy,
}


def is_decided(csr: Object) -> bool:
    """Return True if the request was approved or denied."""
    return get_condition(csr, "Approved") is not None or get_condition(csr, "Denied") is not None


def waits_for_signature(csr: Object) -> bool:
    """Return True if the request is approved, not denied, and neither signed nor failed yet."""
    return (
        get_condition(csr, "Approved") is not None
        and get_condition(csr, "Denied") is None
        and get_condition(csr, "Failed") is None
        and not csr.get("status", {}).get("certificate")
    )
