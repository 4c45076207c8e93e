"""The Warning headers of an answer (upstream: apiserver/pkg/endpoints/filters/warning.go).

All of them together have a limit. Where they do not fit, each text is cut, and then as many are sent as fit.
"""

from __future__ import annotations

from collections.abc import Iterable

_MOST = 4 * 1024  # characters of all texts
_MOST_OF_ONE = 256  # characters of each text, if all of them do not fit


def headers(texts: Iterable[str]) -> list[str]:
    """Return the value of a header for each text; those that occur twice are sent once."""
    unique = list(dict.fromkeys(texts))
    if sum(map(len, unique)) > _MOST:
        unique = [text[:_MOST_OF_ONE] for text in unique]
    sent: list[str] = []
    written = 0
    for text in unique:
        written += len(text)
        if written > _MOST:
            break
        sent.append(f'299 - "{_quoted(text)}"')
    return sent


def _quoted(text: str) -> str:
    """Escape a warning for the quoted string of its header (RFC 7234), which has no line breaks."""
    text = " ".join(text.split())
    return text.replace("\\", "\\\\").replace('"', '\\"').encode("ascii", "backslashreplace").decode()
