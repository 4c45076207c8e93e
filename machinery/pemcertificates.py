"""Parse and check certificates and certificate signing requests in PEM, with upstream's error messages.

Upstream: pkg/apis/certificates/helpers.go, and the errors of Go's crypto libraries. The library cryptography is
imported in the functions, so that only processes that meet a certificate pay for it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509

REQUEST, CERTIFICATE = "CERTIFICATE REQUEST", "CERTIFICATE"
_BLOCK = re.compile(rb"-----BEGIN ([^\n-]+)-----\r?\n(.*?)-----END \1-----", re.DOTALL)


def parse_request(pem: bytes) -> x509.CertificateSigningRequest:
    """Return the request in the first PEM block. Its signature is not checked. Raises ValueError."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    block = _BLOCK.search(pem)
    if block is None or block[1].decode(errors="replace") != REQUEST:
        raise ValueError(f"PEM block type must be {REQUEST}")
    try:
        request = x509.load_pem_x509_csr(block[0] + b"\n")
        _ = request.subject, request.extensions  # They are parsed on first use, which must not fail later.
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion) as error:
        raise ValueError(f"asn1: structure error: {error}") from None
    return request


def check_request(pem: bytes) -> x509.CertificateSigningRequest:
    """Return the request if it is signed with the private key of the key in it. Raises ValueError."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    request = parse_request(pem)
    try:
        if request.is_signature_valid:
            return request
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"x509: cannot verify signature: {error}") from None
    if isinstance(key, rsa.RSAPublicKey):
        raise ValueError("crypto/rsa: verification error")
    if isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("x509: ECDSA verification failure")
    if isinstance(key, ed25519.Ed25519PublicKey):
        raise ValueError("x509: Ed25519 verification failure")
    raise ValueError("x509: cannot verify signature: algorithm unimplemented")


def check_certificates(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates of a chain. Raises ValueError for PEM blocks of another type, or if there is none."""
    from cryptography import x509

    found: list[x509.Certificate] = []
    for block in _BLOCK.finditer(pem):
        if block[1] != CERTIFICATE.encode():
            kind = block[1].decode(errors="replace")
            raise ValueError(f'only {CERTIFICATE} PEM blocks are allowed, found "{kind}"')
        if b":" in block[2]:
            raise ValueError("no PEM block headers are permitted")
        try:
            found.append(x509.load_pem_x509_certificate(block[0]))
        except (ValueError, x509.InvalidVersion) as error:
            raise ValueError(f"x509: malformed certificate: {error}") from None
    if not found:
        raise ValueError(f"must contain at least one {CERTIFICATE} PEM block")
    return found


def organizations(name: x509.Name) -> list[str]:
    """Return a subject's organizations (O), which are the groups of a client with that certificate."""
    from cryptography.x509.oid import NameOID

    return [str(attribute.value) for attribute in name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]


def common_name(name: x509.Name) -> str:
    """Return a subject's common name (CN), which is the user name of a client. Of several the last counts, as in Go."""
    from cryptography.x509.oid import NameOID

    names = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[-1].value) if names else ""
