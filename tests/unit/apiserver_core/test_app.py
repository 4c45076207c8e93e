"""The front of the application: bodies, and the forms of errors."""

from __future__ import annotations

import io
from typing import Any

import pytest

from apiserver.api.app import error_response
from apiserver.api.body import BODY_LIMIT, read_body
from apiserver.storage.protocol import TooLarge, Unavailable
from machinery.errors import ApiError, BadRequest, Gone, RequestEntityTooLarge, TooManyRequests, Unauthorized


def environ(body: bytes, **more: str) -> dict[str, Any]:
    return {"wsgi.input": io.BytesIO(body), **more}


def test_bodies() -> None:
    assert read_body(environ(b"abc", CONTENT_LENGTH="3")) == b"abc"
    assert read_body(environ(b"abc", HTTP_TRANSFER_ENCODING="chunked")) == b"abc"
    assert read_body(environ(b"abc")) == b""


def test_half_a_body_is_none() -> None:
    with pytest.raises(BadRequest, match="ended after 3 of 10 bytes"):
        read_body(environ(b"abc", CONTENT_LENGTH="10"))


def test_a_body_too_large() -> None:
    with pytest.raises(RequestEntityTooLarge):
        read_body(environ(b"", CONTENT_LENGTH=str(BODY_LIMIT + 1)))
    with pytest.raises(RequestEntityTooLarge):
        read_body(environ(b"x" * (BODY_LIMIT + 1), HTTP_TRANSFER_ENCODING="chunked"))


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (Unavailable("etcd is away"), 503, "ServiceUnavailable"),
        (TooLarge("too large"), 413, "RequestEntityTooLarge"),
        (Gone("too old"), 410, "Expired"),
        (ApiError("x", code=418, reason="Teapot"), 418, "Teapot"),
    ],
)
def test_errors_are_statuses(error: Exception, code: int, reason: str) -> None:
    response = error_response(error)
    assert response.status_code == code
    status: Any = response.get_json()
    assert (status["kind"], status["code"], status["reason"]) == ("Status", code, reason)


def test_what_nobody_foresaw_is_logged_and_told(caplog: pytest.LogCaptureFixture) -> None:
    response = error_response(ZeroDivisionError("oops"))
    assert response.status_code == 500
    assert "oops" in caplog.text


def test_headers_of_errors() -> None:
    assert error_response(TooManyRequests("later", retry_after=7)).headers["Retry-After"] == "7"
    assert error_response(Unauthorized("who?")).headers["WWW-Authenticate"].startswith("Bearer")
