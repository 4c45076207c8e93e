"""Tokens of ServiceAccounts: signed here, mounted into pods by the kubelet, and sent back as bearer tokens.

A token is valid while the account, and the pod, Secret or Node that it is bound to, exist (upstream:
pkg/serviceaccount/{jwt,claims}.go).
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from apiserver.authorization.authn import TokenIdentity, TokenRefused
from apiserver.model.kind import Kind
from apiserver.model.reader import Reader
from apiserver.model.user import SERVICE_ACCOUNT_PREFIX, User
from machinery.errors import quote
from machinery.objects import Object, parse_time

CLAIM = "kubernetes.io"
EXTRA = "authentication.kubernetes.io/"
# Seconds by which the clocks of two machines may differ.
LEEWAY = 60
# A token bound to an object that is being deleted is valid until so many seconds after the object should be gone.
DELETION_LEEWAY = 60
# What a token may be bound to beside its account, in the order in which it is checked.
BINDINGS = ("secret", "pod", "node")
INVALIDATED = "service account token has been invalidated"
# Tokens of which a worker knows that they are signed by us: a check takes 60 µs, and the whole of a GET 230.
_REMEMBERED = 2048
# Audience and times are checked afterwards, with upstream's messages.
_DECODING: Any = {
    "require": ["exp", "iss", "sub", "aud", CLAIM],
    "verify_aud": False,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
}
_ALGORITHMS = {256: "ES256", 384: "ES384", 521: "ES512"}

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


class Bound(NamedTuple):
    """What a token shall not outlive: ``pod``, ``secret`` or ``node``, and for a pod the node that it runs on."""

    what: str
    obj: Object
    node: Object | None = None


class Binding(NamedTuple):
    """An object that a token ends with: what it is, its name, and its uid, None if the token names none."""

    what: str
    name: str
    uid: str | None


class VerifiedToken(NamedTuple):
    """What a token says whose signature has been checked. Times are seconds since the epoch."""

    user: User
    namespace: str
    bindings: tuple[Binding, ...]  # in the order in which they are checked
    audiences: tuple[str, ...]
    expires: float
    not_before: float


class Signer:
    """Makes tokens with the private key of --service-account-signing-key-file."""

    def __init__(self, key_file: Path, issuer: str) -> None:
        self._key: Any = load_pem_private_key(key_file.read_bytes(), None)
        self._issuer = issuer
        public: Any = self._key.public_key()
        self._algorithm, self._id = algorithm_of(public), key_id(public)

    def sign(
        self, account: Object, audiences: Sequence[str], seconds: int, bound: Bound | None = None, warn_after: int = 0
    ) -> tuple[str, datetime]:
        """Return a token for a ServiceAccount and when it expires. Use after ``warn_after`` seconds is a mistake."""
        meta = account["metadata"]
        now = int(time.time())
        private: Object = {"namespace": meta["namespace"], "serviceaccount": _reference(account)}
        if bound is not None:
            private[bound.what] = _reference(bound.obj)
            if node := (bound.obj.get("spec") or {}).get("nodeName") if bound.what == "pod" else "":
                private["node"] = _reference(bound.node) if bound.node else {"name": node}
        if warn_after:
            private["warnafter"] = now + warn_after
        claims = {
            "aud": list(audiences),
            "exp": now + seconds,
            "iat": now,
            "iss": self._issuer,
            "jti": str(uuid.uuid4()),
            CLAIM: private,
            "nbf": now,
            "sub": f"{SERVICE_ACCOUNT_PREFIX}{meta['namespace']}:{meta['name']}",
        }
        token = jwt.encode(claims, self._key, self._algorithm, headers={"kid": self._id})
        return token, datetime.fromtimestamp(now + (warn_after or seconds), UTC)


def _reference(obj: Object) -> Object:
    return {"name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}


class Verifier:
    """Tells whose a token is; looks up whether the account, and what it is bound to, still exist."""

    def __init__(
        self, keys: Sequence[PublicKey], issuer: str, audiences: Sequence[str], reader: Reader, kinds: dict[str, Kind]
    ) -> None:
        self._keys = {key_id(key): key for key in keys}
        self._issuer = issuer
        self._audiences = list(audiences)
        self._reader = reader
        self._kinds = kinds  # "serviceaccount", "pod", "secret", "node" → row
        self._verified: dict[bytes, VerifiedToken] = {}  # by a hash, so that no memory holds the tokens themselves
        self._lock = threading.Lock()  # of changes of the dict

    def identify(self, token: str, audiences: Sequence[str] = ()) -> TokenIdentity | None:
        """Return the ServiceAccount as a user, None for a token that we did not sign; raises TokenRefused."""
        digest = hashlib.sha256(token.encode()).digest()
        verified = self._verified.get(digest)
        if verified is None:
            try:
                verified = verified_token(self._verify(token))
            except (jwt.PyJWTError, KeyError, TypeError):
                return None
        wanted, meant = audiences or self._audiences, verified.audiences
        common = tuple(audience for audience in meant if audience in wanted)
        if not common:
            why = f"token audiences {_listed(meant)} is invalid for the target audiences {_listed(wanted)}"
            raise TokenRefused(why)
        try:
            _check_times(verified)
        except TokenRefused:
            self._remember(digest, None)
            raise
        self._remember(digest, verified)
        # These are looked up at each request, so that a token ends with what it is bound to.
        for binding in verified.bindings:
            self._check(verified.namespace, binding)
        return TokenIdentity(verified.user, common)

    def _remember(self, digest: bytes, verified: VerifiedToken | None) -> None:
        """Keep what a token says; None forgets it. The one that was first kept goes first."""
        if verified is None or digest not in self._verified:
            with self._lock:
                self._verified.pop(digest, None)
                if verified is not None:
                    if len(self._verified) >= _REMEMBERED:
                        del self._verified[next(iter(self._verified))]
                    self._verified[digest] = verified

    def _verify(self, token: str) -> Object:
        """Return the claims of a token signed by us. Raises PyJWTError, KeyError or TypeError for any other token."""
        key = self._keys[jwt.get_unverified_header(token).get("kid", "")]
        claims: Object = jwt.decode(token, key, [algorithm_of(key)], issuer=self._issuer, options=_DECODING)
        private = claims[CLAIM]
        if claims["sub"] != f"{SERVICE_ACCOUNT_PREFIX}{private['namespace']}:{private['serviceaccount']['name']}":
            raise jwt.InvalidTokenError("the subject is not the account of the claims")
        return claims

    def _check(self, namespace: str, binding: Binding) -> None:
        """Raise TokenRefused unless the object exists, has the token's uid, and is not long since deleted."""
        what, name, uid = binding
        kind = self._kinds[what]
        found = self._reader.get(kind, namespace if kind.namespaced else "", name, consistent=True)
        if found is None:
            raise TokenRefused(INVALIDATED if what in BINDINGS else f"{kind.plural} {quote(name)} not found")
        meta = found["metadata"]
        if meta.get("uid") != uid:
            shown = f"{what} ref" if what in BINDINGS else "service account"
            raise TokenRefused(f"{shown} UID ({meta.get('uid')}) does not match claim ({uid})")
        deleted = meta.get("deletionTimestamp")
        if deleted and (datetime.now(UTC) - parse_time(deleted)).total_seconds() >= DELETION_LEEWAY:
            raise TokenRefused(INVALIDATED)


def verified_token(claims: Object) -> VerifiedToken:
    """Return what the claims of a signed token say. Raises KeyError or TypeError if they lack something."""
    private, audiences = claims[CLAIM], claims["aud"]
    namespace, account = private["namespace"], private["serviceaccount"]
    extra = {f"{EXTRA}credential-id": (f"JTI={claims['jti']}",)} if claims.get("jti") else {}
    bindings = [Binding("serviceaccount", account["name"], account["uid"])]
    for what in BINDINGS:
        ref = private.get(what)
        if ref is None:
            continue
        if what != "node" or "pod" not in private:  # the node of a token bound to a pod is only reported
            bindings.append(Binding(what, ref["name"], ref.get("uid")))
        if what != "secret":
            extra[f"{EXTRA}{what}-name"] = (ref["name"],)
            if ref.get("uid"):
                extra[f"{EXTRA}{what}-uid"] = (ref["uid"],)
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return VerifiedToken(
        user=User(f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{account['name']}", groups, account["uid"], extra),
        namespace=namespace,
        bindings=tuple(bindings),
        audiences=(audiences,) if isinstance(audiences, str) else tuple(audiences),
        expires=claims["exp"],
        not_before=claims.get("nbf", 0),
    )


def _listed(audiences: Sequence[str]) -> str:
    return f"[{' '.join(map(quote, audiences))}]"


def _check_times(token: VerifiedToken) -> None:
    now = time.time()
    if token.expires + LEEWAY < now:
        raise TokenRefused("service account token has expired")
    if token.not_before - LEEWAY > now:
        raise TokenRefused("service account token is not valid yet")


def read_public_keys(key_file: Path) -> list[PublicKey]:
    """Return the public keys in a PEM file, those of its private keys included; raises ValueError if it has none."""
    keys: list[PublicKey] = []
    for block in key_file.read_bytes().split(b"-----BEGIN ")[1:]:
        pem = b"-----BEGIN " + block
        loaded: Any = (
            load_pem_private_key(pem, None).public_key() if b"PRIVATE KEY" in block[:40] else load_pem_public_key(pem)
        )
        algorithm_of(loaded)
        keys.append(loaded)
    if not keys:
        raise ValueError(f"--service-account-key-file: {key_file} holds no PEM key")
    return keys


def algorithm_of(key: Any) -> str:
    """Return the JWT algorithm of a key (RS256, ES256 …); raises ValueError for other sorts of keys."""
    if isinstance(key, rsa.RSAPublicKey):
        return "RS256"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _ALGORITHMS[key.curve.key_size]
    raise ValueError("a ServiceAccount key must be an RSA or an ECDSA one")


def key_id(key: PublicKey) -> str:
    """Return the ``kid`` of a key, as upstream: the hash of its public part."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
