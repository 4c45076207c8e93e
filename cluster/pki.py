"""Create and renew the cluster's certificates and keys: an authority, a certificate for each role, the token key.

Names and files are kubeadm's (``apiserver.crt``, ``apiserver-kubelet-client.crt``, ``sa.key`` …). A certificate that is
good is kept. One that is missing, damaged, of another authority, without a name that it needs, or near its end is
created again.

Keys are elliptic (P-256), because these cost a fifth of RSA's time in a handshake. The key of service account tokens is
RSA, because upstream's tokens are signed RS256; only the server for tests, which must start fast, has an elliptic one.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cluster.settings import CLUSTER_DOMAIN, SERVICE_IP, State

VALID = datetime.timedelta(days=365)
RENEW_BEFORE_END = datetime.timedelta(days=30)
CLOCK_SKEW = datetime.timedelta(minutes=5)
# The names under which pods reach the API server.
SERVICE_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    f"kubernetes.default.svc.{CLUSTER_DOMAIN}",
)


Key = ec.EllipticCurvePrivateKey
Pair = tuple[x509.Certificate, Key]
AccountKey = Key | rsa.RSAPrivateKey


class Role(NamedTuple):
    """The holder of one certificate, and the names that it serves under; a client has none."""

    file: str
    common_name: str
    organization: str = ""
    names: tuple[str, ...] = ()


def roles(node: str, node_ip: str) -> list[Role]:
    """Return every certificate below the authority. Names and groups are the ones that upstream's authorizers know."""
    return [
        Role(
            "apiserver", "kube-apiserver", names=(*SERVICE_NAMES, "localhost", node, "127.0.0.1", SERVICE_IP, node_ip)
        ),
        Role("kubelet", f"system:node:{node}", "system:nodes", names=(node, "localhost", "127.0.0.1", node_ip)),
        Role("admin", "admin", "system:masters"),
        Role("developer", "developer", "developers"),
        Role("apiserver-kubelet-client", "kube-apiserver-kubelet-client"),
        Role("kubelet-client", f"system:node:{node}", "system:nodes"),
        Role("controllers", "system:kube-controller-manager"),
        Role("scheduler", "system:kube-scheduler"),
        Role("proxy", "system:kube-proxy"),
    ]


def ensure(state: State, node: str, node_ip: str, *, now: datetime.datetime | None = None) -> list[str]:
    """Create or renew what is missing in the cluster's pki folder; return the names of what was created, in order."""
    return complete(state.pki, roles(node, node_ip), _rsa_key, now)


def complete(
    folder: Path, wanted: list[Role], account_key: Callable[[], AccountKey], now: datetime.datetime | None = None
) -> list[str]:
    """Create or renew what is missing in a folder, for other roles or with another kind of key for tokens."""
    now = now or datetime.datetime.now(datetime.UTC)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = []
    authority = _load(folder, "ca")
    if authority is None or not _is_current(authority[0], now):
        authority = _issue_authority(now)
        _save(folder, "ca", *authority)
        made.append("ca")
    for role in wanted:
        pair = _load(folder, role.file)
        if pair is None or not _fits(pair[0], role, authority[0], now):
            _save(folder, role.file, *_issue(role, authority, now))
            made.append(role.file)
    if _ensure_service_account_key(folder, account_key):
        made.append("sa")
    return made


def _load(folder: Path, name: str) -> Pair | None:
    """Return certificate and key; None if one is missing, unreadable or does not belong to the other."""
    try:
        certificate = x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())
        key = serialization.load_pem_private_key((folder / f"{name}.key").read_bytes(), None)
    except (FileNotFoundError, ValueError, TypeError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None
    return certificate, key


def _is_current(certificate: x509.Certificate, now: datetime.datetime) -> bool:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return start <= now and now + min(RENEW_BEFORE_END, (end - start) / 3) < end


def _fits(certificate: x509.Certificate, role: Role, authority: x509.Certificate, now: datetime.datetime) -> bool:
    """Return True if the certificate is as it would be issued today, apart from its dates."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return (
        _is_current(certificate, now)
        and certificate.subject == _subject(role)
        and _names(certificate) == set(role.names)
    )


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = [str(address) for address in extension.get_values_for_type(x509.IPAddress)]
    return {*extension.get_values_for_type(x509.DNSName), *addresses}


def _subject(role: Role) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, role.organization)] if role.organization else []
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, role.common_name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def elliptic_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def _rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _issue_authority(now: datetime.datetime) -> Pair:
    key = elliptic_key()
    # The authority is valid longer than what it signs. Its name has the time, so that it differs from earlier ones.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"mini-minishift-ca@{int(now.timestamp())}")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + 10 * VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return builder.sign(key, hashes.SHA256()), key


def _issue(role: Role, authority: Pair, now: datetime.datetime) -> Pair:
    ca, ca_key = authority
    key = elliptic_key()
    use = ExtendedKeyUsageOID.SERVER_AUTH if role.names else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        x509.CertificateBuilder()
        .subject_name(_subject(role))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    if role.names:
        names = [_general_name(name) for name in role.names]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(ca_key, hashes.SHA256()), key


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _save(folder: Path, name: str, certificate: x509.Certificate, key: Key) -> None:
    _write_key(folder / f"{name}.key", key)
    (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _write_key(path: Path, key: AccountKey) -> None:
    """Write a private key; it is readable by its owner only, from the first moment on."""
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)


def _ensure_service_account_key(folder: Path, generate: Callable[[], AccountKey]) -> bool:
    """Create the key pair for service account tokens if there is none; return True if it was created.

    It is never renewed, because that would invalidate every token.
    """
    private, public = folder / "sa.key", folder / "sa.pub"
    try:
        key = serialization.load_pem_private_key(private.read_bytes(), None)
    except (FileNotFoundError, ValueError, TypeError):
        key = None
    made = not isinstance(key, AccountKey)
    if not isinstance(key, AccountKey):
        key = generate()
        _write_key(private, key)
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    if not public.exists() or public.read_bytes() != pem:
        public.write_bytes(pem)
    return made
