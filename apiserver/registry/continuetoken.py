"""Continue tokens: where the next chunk of a list begins, and as of which revision.

Upstream's form (apiserver/pkg/storage/continue.go): base64 of JSON.
"""

from __future__ import annotations

import base64

import orjson

from machinery.errors import BadRequest, quote

MOST_REVISION = (1 << 63) - 1  # a store's are signed 64-bit integers


def encode_token(revision: int, start: str) -> str:
    """Return a token for the revision and the first key, without the kind's prefix, that is still to come."""
    text = orjson.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start})
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def decode_token(token: str, prefix: str) -> tuple[int, str]:
    """Return the revision (-1: whatever is current) and the full key of a token; raises BadRequest for other text."""
    try:
        value = orjson.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
        version, revision, start = value["v"], value["rv"], value["start"]
    except (ValueError, KeyError, TypeError):
        raise _invalid_token("illegal base64 or JSON data") from None
    if version != "meta.k8s.io/v1":
        raise _invalid_token(f"server does not recognize this encoded version {quote(str(version))}")
    if type(revision) is not int or revision == 0 or revision > MOST_REVISION:
        raise _invalid_token(f"incorrect encoded start resourceVersion (version {version})")
    if type(start) is not str or not start:
        raise _invalid_token(f"encoded start key empty (version {version})")
    if start.startswith("/"):
        raise _invalid_token(start)
    return revision, prefix + start


def _invalid_token(why: str) -> BadRequest:
    return BadRequest(f"invalid continue token: continue key is not valid: {why}")
