"""Parse and check certificates and certificate signing requests in PEM, with upstream's error messages.

Upstream: pkg/apis/certificates/helpers.go, and the errors of Go's crypto libraries. The library cryptography is
imported in the functions, so that only processes that meet a certificate pay for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cryptography import x509

REQUEST, CERTIFICATE = "CERTIFICATE REQUEST", "CERTIFICATE"
_BEGIN, _END, _EOL = b"-----BEGIN ", b"-----END ", b"-----"


class Block(NamedTuple):
    """A block of PEM: the words of its first line, the whole, and what is between the first and the last line."""

    type: str
    text: bytes
    content: bytes


def blocks(pem: bytes) -> Iterator[Block]:
    """Yield the blocks of a text, in linear time; what is between them is ignored (upstream: Go's pem.Decode)."""
    position = end = 0
    while (start := _line(pem, _BEGIN, position)) >= 0:
        newline = pem.find(b"\n", start)
        first = pem[start:newline].rstrip(b" \t\r")
        position = newline if newline >= 0 else len(pem)
        if end < position:
            end = _line(pem, _END, position)
        if end < 0:
            return
        kind = first.removeprefix(_BEGIN).removesuffix(_EOL)
        last = _END + kind + _EOL
        if first.endswith(_EOL) and pem.startswith(last, end):
            position = end + len(last)
            yield Block(kind.decode(errors="replace"), pem[start:position], pem[newline + 1 : end])


def _line(text: bytes, beginning: bytes, position: int) -> int:
    """Return where a line begins like this, at or behind a position; -1 if none does."""
    if position == 0 and text.startswith(beginning):
        return 0
    found = text.find(b"\n" + beginning, position)
    return found + 1 if found >= 0 else -1


def parse_request(pem: bytes) -> x509.CertificateSigningRequest:
    """Return the request in the first PEM block. Its signature is not checked. Raises ValueError."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    block = next(blocks(pem), None)
    if block is None or block.type != REQUEST:
        raise ValueError(f"PEM block type must be {REQUEST}")
    try:
        request = x509.load_pem_x509_csr(block.text + b"\n")
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
    for block in blocks(pem):
        if block.type != CERTIFICATE:
            raise ValueError(f'only {CERTIFICATE} PEM blocks are allowed, found "{block.type}"')
        if b":" in block.content:
            raise ValueError("no PEM block headers are permitted")
        try:
            found.append(x509.load_pem_x509_certificate(block.text))
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
