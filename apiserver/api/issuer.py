"""Service account issuer discovery: what others need in order to verify the tokens that are signed here.

These are two documents of OpenID Connect (upstream: pkg/serviceaccount/openidmetadata.go).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import orjson
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Response
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from apiserver.api.nonresource import Document
from apiserver.authorization.tokens import PublicKey, algorithm_of, key_id

CONFIGURATION = "/.well-known/openid-configuration"
KEYS = "/openid/v1/jwks"
_HEADERS = {"Cache-Control": "public, max-age=3600"}


def documents(issuer: str, keys_uri: str, keys: Sequence[PublicKey]) -> Mapping[str, Document]:
    """Return both documents by their paths; none where nobody could ask for them: without keys, or without HTTPS."""
    if not keys or urlsplit(issuer).scheme != "https":
        return {}
    configuration = {
        "issuer": issuer,
        "jwks_uri": keys_uri,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": sorted({algorithm_of(key) for key in keys}),
    }
    key_set = {"keys": [_jwk(key) for key in keys]}
    return {
        CONFIGURATION: partial(Response, orjson.dumps(configuration), 200, _HEADERS, content_type="application/json"),
        KEYS: partial(Response, orjson.dumps(key_set), 200, _HEADERS, content_type="application/jwk-set+json"),
    }


def _jwk(key: PublicKey) -> dict[str, Any]:
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPublicKey) else ECAlgorithm
    parts: dict[str, Any] = orjson.loads(algorithm.to_jwk(key))  # type: ignore[arg-type]
    parts.pop("key_ops", None)
    return {"use": "sig", "kid": key_id(key), "alg": algorithm_of(key), **parts}
