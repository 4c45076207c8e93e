"""What gunicorn works out for each request and need not: a fifth of a GET's time in Python.

``tune`` is called once, before the first request. It changes nothing that a client could notice.
"""

from __future__ import annotations

import time
from typing import Any

from gunicorn import util
from gunicorn.http import message, parser

_finish_body = parser.Parser.finish_body
_http_date = util.http_date
_date: tuple[int, str] = (0, "")


def tune(config: Any) -> None:
    """``config`` must be complete."""
    # As plain attributes: looking a setting up takes half a microsecond, and a request needs twenty.
    settings = {name: setting.get() for name, setting in config.settings.items() if not hasattr(type(config), name)}
    vars(config).update(settings)
    util.http_date = http_date
    parser.Parser.finish_body = finish_body
    parser.RequestParser.mesg_class = Request


class Request(message.Request):  # type: ignore[misc]
    """No proxy stands before this server that could be believed, so nobody's address has to be compared."""

    def _peer_is_trusted_proxy(self) -> bool:
        return False


def http_date(timestamp: float | None = None) -> str:
    """The date of an answer, made once a second."""
    global _date
    if timestamp is not None:
        return str(_http_date(timestamp))
    now = int(time.time())
    second, text = _date
    if second != now:
        text = _http_date(now)
        _date = now, text
    return text


def finish_body(self: Any, deadline: float | None = None, max_bytes: int | None = None) -> bool:
    """Where a body has been read to its end, or there was none, no time-out need be set for reading what is left."""
    body = getattr(self.mesg, "body", None)
    if body is not None and not body.failed and getattr(body.reader, "length", -1) == 0 and not body.buf.tell():
        return True
    return bool(_finish_body(self, deadline, max_bytes))
