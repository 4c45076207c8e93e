"""ServiceAccounts' tokens: signed here, handed to pods by the kubelet, shown as bearer tokens, believed while what they
are bound to exists (upstream: pkg/serviceaccount/{jwt,claims}.go).
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from apiserver.kind import Kind
from apiserver.request import Reader, User
from machinery.objects import Object, parse_time

PREFIX = "system:serviceaccount:"
CLAIM = "kubernetes.io"
# Clocks of machines that show each other tokens may differ so much.
LEEWAY = 10
# A token of a pod that is being deleted is good until so long after the pod should be gone.
DELETION_LEEWAY = 60
_REMEMBERED = 2048
_ALGORITHMS = {256: "ES256", 384: "ES384", 521: "ES512"}

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


class Signer:
    """Makes tokens with the private key of --service-account-signing-key-file."""

    def __init__(self, key_file: Path, issuer: str) -> None:
        self._key: Any = load_pem_private_key(key_file.read_bytes(), None)
        self._issuer = issuer
        public: Any = self._key.public_key()
        self._algorithm, self._id = algorithm_of(public), key_id(public)

    def sign(
        self, account: Object, audiences: Sequence[str], seconds: int, bound_to: tuple[str, Object] | None
    ) -> tuple[str, datetime]:
        """A token for a ServiceAccount, perhaps bound to an object (``("pod", pod)``), and when it expires."""
        meta = account["metadata"]
        now = int(time.time())
        private: Object = {
            "namespace": meta["namespace"],
            "serviceaccount": {"name": meta["name"], "uid": meta["uid"]},
        }
        if bound_to is not None:
            what, obj = bound_to
            private[what] = {"name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}
            node = obj.get("spec", {}).get("nodeName") if what == "pod" else None
            if node:
                private["node"] = {"name": node}
        claims = {
            "aud": list(audiences),
            "exp": now + seconds,
            "iat": now,
            "iss": self._issuer,
            "jti": str(uuid.uuid4()),
            CLAIM: private,
            "nbf": now,
            "sub": f"{PREFIX}{meta['namespace']}:{meta['name']}",
        }
        token = jwt.encode(claims, self._key, self._algorithm, headers={"kid": self._id})
        return token, datetime.fromtimestamp(now + seconds, UTC)


class Verifier:
    """Tells whose a token is; looks up whether the account, and the pod it is bound to, still exist."""

    def __init__(
        self, keys: Sequence[PublicKey], issuer: str, audiences: Sequence[str], reader: Reader, kinds: dict[str, Kind]
    ) -> None:
        self._keys = {key_id(key): key for key in keys}
        self._issuer = issuer
        self._audiences = list(audiences)
        self._reader = reader
        self._kinds = kinds  # "serviceaccount", "pod", "secret", "node" → row
        self._lock = threading.Lock()
        self._remembered: OrderedDict[tuple[str, tuple[str, ...]], Object] = OrderedDict()

    def authenticate(self, token: str) -> User | None:
        """The ServiceAccount's user; None for what is not signed by us, expired, or bound to what is gone."""
        return self.review(token, self._audiences)

    def review(self, token: str, audiences: Sequence[str]) -> User | None:
        """As ``authenticate``, for one of the given audiences; this server's own if there are none."""
        claims = self._claims(token, tuple(audiences or self._audiences))
        if claims is None or claims["exp"] + LEEWAY < time.time():
            return None
        private = claims[CLAIM]
        namespace, account = private["namespace"], private["serviceaccount"]
        if not self._exists("serviceaccount", namespace, account):
            return None
        extra = {"authentication.kubernetes.io/credential-id": (f"JTI={claims['jti']}",)}
        for what in ("pod", "secret", "node"):
            ref = private.get(what)
            if ref is None or "uid" not in ref:
                continue
            if not self._exists(what, "" if what == "node" else namespace, ref):
                return None
            if what == "pod":
                extra["authentication.kubernetes.io/pod-name"] = (ref["name"],)
                extra["authentication.kubernetes.io/pod-uid"] = (ref["uid"],)
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        return User(f"{PREFIX}{namespace}:{account['name']}", groups, account["uid"], extra)

    def _claims(self, token: str, audiences: tuple[str, ...]) -> Object | None:
        """What the token says, if it is well signed. Remembered, for checking a signature takes its time."""
        with self._lock:
            known = self._remembered.get((token, audiences))
        if known is not None:
            return known
        try:
            key = self._keys[jwt.get_unverified_header(token).get("kid", "")]
            claims: Object = jwt.decode(
                token, key, [algorithm_of(key)], audience=list(audiences), issuer=self._issuer, leeway=LEEWAY,
                options={"require": ["exp", "iss", "sub", "aud", CLAIM]},
            )  # fmt: skip
            private = claims[CLAIM]
            if claims["sub"] != f"{PREFIX}{private['namespace']}:{private['serviceaccount']['name']}":
                return None
        except (jwt.PyJWTError, KeyError, TypeError):
            return None
        with self._lock:
            self._remembered[token, audiences] = claims
            if len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        return claims

    def _exists(self, what: str, namespace: str, ref: Object) -> bool:
        found = self._reader.get(self._kinds[what], namespace, ref["name"], fresh=True)
        if found is None or found["metadata"].get("uid") != ref["uid"]:
            return False
        deleted = found["metadata"].get("deletionTimestamp")
        return not deleted or (datetime.now(UTC) - parse_time(deleted)).total_seconds() < DELETION_LEEWAY


def read_public_keys(key_file: Path) -> list[PublicKey]:
    """The keys in a PEM file, which may hold several, and private ones too."""
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
    """How a key signs."""
    if isinstance(key, rsa.RSAPublicKey):
        return "RS256"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _ALGORITHMS[key.curve.key_size]
    raise ValueError("a ServiceAccount key must be an RSA or an ECDSA one")


def key_id(key: PublicKey) -> str:
    """Upstream's ``kid``: the hash of the public key."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
