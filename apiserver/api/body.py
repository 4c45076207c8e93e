"""The body of a request, read at once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from apiserver.model.exchange import EXCHANGE
from apiserver.model.trace import spent
from machinery.errors import BadRequest, RequestEntityTooLarge

# Bytes; upstream has the same limit (DefaultMaxRequestBodyBytes).
BODY_LIMIT = 3 * 1024 * 1024


def read_body(environ: Mapping[str, Any]) -> bytes:
    """Read the request's body, chunked or not; empty without one.

    Raises RequestEntityTooLarge for more than BODY_LIMIT, of which no more is read, and BadRequest if the body ends
    early, is malformed or does not arrive within the request timeout.
    """
    length = environ.get("CONTENT_LENGTH")
    too_large = RequestEntityTooLarge(f"Request entity too large: limit is {BODY_LIMIT}")
    if length and int(length) > BODY_LIMIT:
        raise too_large
    if not length and "HTTP_TRANSFER_ENCODING" not in environ:
        return b""
    since = time.perf_counter()
    exchange = environ.get(EXCHANGE)
    try:
        with exchange.body_deadline() if exchange is not None else nullcontext():
            body: bytes = environ["wsgi.input"].read(int(length) if length else BODY_LIMIT + 1)
    except OSError as error:
        raise BadRequest(f"the request's body could not be read: {error}") from None
    finally:
        spent("body", since)
    if len(body) > BODY_LIMIT:
        raise too_large
    if length and len(body) < int(length):
        raise BadRequest(f"the request's body ended after {len(body)} of {length} bytes")
    return body
