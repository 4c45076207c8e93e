"""What is spared gunicorn changes nothing that a client could notice."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest
from gunicorn import util
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser

from apiserver.serving.gunicorntuning import tune

CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
WITH_LENGTH = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
WITHOUT = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def config() -> Any:
    config = Config()
    config.set("keepalive", 77)
    tune(config)
    return config


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    yield ours, theirs
    ours.close()
    theirs.close()


def test_settings_are_what_they_were(config: Any) -> None:
    assert config.keepalive == 77
    assert config.threads == config.settings["threads"].get()
    assert not config.is_ssl, "a property stays one"
    config_of_another = Config()
    assert config_of_another.keepalive == 2


def test_dates(config: Any) -> None:
    assert util.http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"
    before = int(time.time())
    date = util.http_date()
    assert date in [formatdate(second, usegmt=True) for second in (before, before + 1)]


@pytest.mark.parametrize("first", [CHUNKED, WITH_LENGTH, WITHOUT])
@pytest.mark.parametrize("read", [0, 2, 3])
def test_the_next_request_begins_where_the_last_one_ended(config: Any, pair: Any, first: bytes, read: int) -> None:
    ours, theirs = pair
    parser = RequestParser(config, ours, ("10.0.0.1", 1))
    theirs.sendall(first + b"GET /next HTTP/1.1\r\nX-Forwarded-Proto: https\r\n\r\n")
    request = next(parser)
    request.body.read(read)
    following = next(parser)
    assert (following.path, following.scheme) == ("/next", "http"), "nobody in between is believed"


def test_half_a_body_is_still_waited_for_no_longer_than_allowed(config: Any, pair: Any) -> None:
    ours, theirs = pair
    parser = RequestParser(config, ours, ("10.0.0.1", 1))
    theirs.sendall(WITH_LENGTH[:-1])
    next(parser)
    assert parser.finish_body(deadline=time.monotonic() + 0.1) is False
