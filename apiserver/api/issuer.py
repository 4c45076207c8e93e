"""Service account issuer discovery: what others need in order to verify the tokens that are signed here.

These are two documents of OpenID Connect (upstream: pkg/serviceaccount/openidmetadata.go).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Response
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from apiserver.authorization.tokens import PublicKey, algorithm_of, key_id

CONFIGURATION = "/.well-known/openid-configuration"
KEYS = "/openid/v1/jwks"
_HEADERS = {"Cache-Control": "public, max-age=3600"}


class IssuerDocuments:
    """Both documents, made when the server starts."""

    def __init__(self, issuer: str, keys_uri: str, keys: Sequence[PublicKey]) -> None:
        algorithms = sorted({algorithm_of(key) for key in keys})
        configuration = {
            "issuer": issuer,
            "jwks_uri": keys_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        }
        self._documents = {
            CONFIGURATION: (orjson.dumps(configuration), "application/json"),
            KEYS: (orjson.dumps({"keys": [_jwk(key) for key in keys]}), "application/jwk-set+json"),
        }
        # As upstream, an issuer that nobody could ask over HTTPS has no documents.
        if not keys or urlsplit(issuer).scheme != "https":
            self._documents = {}

    @property
    def paths(self) -> Sequence[str]:
        """Return the paths that are served."""
        return tuple(self._documents)

    def answer(self, path: str) -> Response | None:
        """Return the document at a path, None if there is none."""
        found = self._documents.get(path)
        return Response(found[0], 200, _HEADERS, content_type=found[1]) if found else None


def _jwk(key: PublicKey) -> dict[str, Any]:
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPublicKey) else ECAlgorithm
    parts: dict[str, Any] = orjson.loads(algorithm.to_jwk(key))  # type: ignore[arg-type]
    parts.pop("key_ops", None)
    return {"use": "sig", "kid": key_id(key), "alg": algorithm_of(key), **parts}
