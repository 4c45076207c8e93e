"""The text of HTTP's status codes as Go's net/http has it, which upstream's clients print and compare."""

from __future__ import annotations

from http import HTTPStatus

# What http.HTTPStatus says otherwise, in some version of Python.
_GOS = {
    413: "Request Entity Too Large",
    414: "Request URI Too Long",
    416: "Requested Range Not Satisfiable",
    418: "I'm a teapot",
    422: "Unprocessable Entity",
}
PHRASES = {int(status): status.phrase for status in HTTPStatus} | _GOS
# The same as http.server's handlers want it.
RESPONSES = {code: (phrase, "") for code, phrase in PHRASES.items()}


def status_line(code: int) -> str:
    """Return what follows the protocol in a response's first line: ``404 Not Found``."""
    return f"{code:03d} {PHRASES.get(code) or f'status code {code}'}"
