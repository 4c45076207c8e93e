"""Sign certificates with the cluster's authority (upstream: pkg/controller/certificates/authority).

Of the PEM request only the subject, the names and the key go into the certificate. The usages and the lifetime come
from the API object, and everything else from this file.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

BACKDATE = timedelta(minutes=5)  # A certificate is valid that much earlier, because clocks differ.
# The lifetime of a certificate that is shorter than this does not include the backdating.
SHORT = timedelta(hours=8)
SHORTEST = timedelta(minutes=10)

KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
# In upstream's order.
EXTENDED_USAGES = {
    "any": "2.5.29.37.0",
    "server auth": "1.3.6.1.5.5.7.3.1",
    "client auth": "1.3.6.1.5.5.7.3.2",
    "code signing": "1.3.6.1.5.5.7.3.3",
    "email protection": "1.3.6.1.5.5.7.3.4",
    "s/mime": "1.3.6.1.5.5.7.3.4",
    "ipsec end system": "1.3.6.1.5.5.7.3.5",
    "ipsec tunnel": "1.3.6.1.5.5.7.3.6",
    "ipsec user": "1.3.6.1.5.5.7.3.7",
    "timestamping": "1.3.6.1.5.5.7.3.8",
    "ocsp signing": "1.3.6.1.5.5.7.3.9",
    "microsoft sgc": "1.3.6.1.4.1.311.10.3.3",
    "netscape sgc": "2.16.840.1.113730.4.1",
}


class CertificateAuthority:
    """A certificate and its key. Both files are read for each signature, as they may have been renewed."""

    def __init__(self, certificate_file: Path, key_file: Path, longest: timedelta) -> None:
        self._certificate_file = certificate_file
        self._key_file = key_file
        self._longest = longest

    def sign(
        self, request: x509.CertificateSigningRequest, usages: Collection[str], seconds: int | None, now: datetime
    ) -> bytes:
        """Return the certificate in PEM. Raises ValueError if the authority's own certificate has expired."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ed448, ed25519
        from cryptography.hazmat.primitives.serialization import Encoding

        authority, key = self._load()
        start, end = validity(self._lifetime(seconds), authority.not_valid_after_utc, now)
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(authority.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        )
        for extension, critical in _usage_extensions(usages):
            builder = builder.add_extension(extension, critical=critical)
        try:
            names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            builder = builder.add_extension(names, critical=not list(request.subject))
        except x509.ExtensionNotFound:
            pass  # The holder is known by its subject alone.
        algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()
        return builder.sign(key, algorithm).public_bytes(Encoding.PEM)

    def _lifetime(self, seconds: int | None) -> timedelta:
        if seconds is None:
            return self._longest
        return min(self._longest, max(SHORTEST, timedelta(seconds=seconds)))

    def _load(self) -> tuple[x509.Certificate, CertificateIssuerPrivateKeyTypes]:
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        certificate = x509.load_pem_x509_certificate(self._certificate_file.read_bytes())
        key = load_pem_private_key(self._key_file.read_bytes(), None)
        return certificate, key  # type: ignore[return-value]  # A key of a kind that cannot sign fails in sign().


def validity(lifetime: timedelta, end_of_authority: datetime, now: datetime) -> tuple[datetime, datetime]:
    """Return the start and the end of a new certificate, which does not outlive its authority.

    Raises ValueError if the authority's own certificate has expired.
    """
    if now >= end_of_authority:
        raise ValueError(f"refusing to sign a certificate that expired in the past: NotAfter={end_of_authority}")
    start = now - BACKDATE
    end = (now if lifetime < SHORT else start) + lifetime
    return start, min(end, end_of_authority)


def _usage_extensions(usages: Collection[str]) -> list[tuple[x509.ExtensionType, bool]]:
    from cryptography import x509

    bits = {KEY_USAGES[usage] for usage in usages if usage in KEY_USAGES}
    found: list[tuple[x509.ExtensionType, bool]] = []
    if bits:
        agreement = "key_agreement" in bits
        # "encipher only" and "decipher only" restrict key agreement, and have no meaning without it.
        flags = {bit: bit in bits and (agreement or not bit.endswith("_only")) for bit in KEY_USAGES.values()}
        found.append((x509.KeyUsage(**flags), True))
    oids = dict.fromkeys(oid for usage, oid in EXTENDED_USAGES.items() if usage in usages)
    if oids:
        found.append((x509.ExtendedKeyUsage([x509.ObjectIdentifier(oid) for oid in oids]), False))
    return found
