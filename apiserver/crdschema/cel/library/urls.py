"""URLs, parsed as Go's url.ParseRequestURI does (upstream: apiserver pkg/cel/library/urls.go)."""

from __future__ import annotations

from apiserver.crdschema import gourl
from apiserver.crdschema.cel import types
from apiserver.crdschema.cel.declarations import Function, functions, overload
from apiserver.crdschema.cel.values import EvaluationError, Opaque
from machinery.errors import quote

_TYPE = types.object_type("kubernetes.URL")
_MOST_SHOWN = 256


class URL(Opaque):
    """A URL."""

    type = _TYPE

    def __init__(self, text: str, parts: gourl.Parts) -> None:
        self.text = text
        self.parts = parts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, URL) and self.parts == other.parts

    __hash__ = None  # type: ignore[assignment]


def _escaped_path(url: URL) -> str:
    """Return the path as written if that is a valid escaping of it, else escaped anew."""
    parts = url.parts
    if all(character in gourl.VALID_IN_PATH for character in parts.raw_path):
        return parts.raw_path
    raw = parts.path.encode("utf-8", "surrogatepass")
    return "".join(chr(byte) if chr(byte) in gourl.IN_PATH else f"%{byte:02X}" for byte in raw)


def _hostname(url: URL) -> str:
    host = _without_port(url.parts.host)[0]
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _without_port(host: str) -> tuple[str, str]:
    name, colon, port = host.rpartition(":")
    if colon and all(character in "0123456789" for character in port):
        return name, port
    return host, ""


def _query(url: URL) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in url.parts.query.split("&"):
        if not part or ";" in part:
            continue
        name, _, value = part.partition("=")
        try:
            name, value = (gourl.unescaped(each.replace("+", " "), None) for each in (name, value))
        except ValueError:
            continue
        found.setdefault(name, []).append(value)
    return found


def parse(text: str) -> URL:
    """Return a URL. Raises EvaluationError with Go's text."""
    try:
        return URL(text, gourl.parse_request_uri(text))
    except ValueError as error:
        raise EvaluationError(f"parse {quote(text[:_MOST_SHOWN])}: {error}") from None


def _url(text: str) -> URL:
    try:
        return parse(text)
    except EvaluationError as error:
        raise EvaluationError(f"URL parse error during conversion from string: {error}") from None


_U = _TYPE.name
URLS: list[Function] = functions(
    ("url", [overload("string_to_url", f"(string) -> {_U}", _url)]),
    ("isURL", [overload("is_url_string", "(string) -> bool", gourl.is_request_uri)]),
    ("getScheme", [overload("url_get_scheme", f"{_U}.() -> string", lambda url: url.parts.scheme)]),
    ("getHost", [overload("url_get_host", f"{_U}.() -> string", lambda url: url.parts.host)]),
    ("getHostname", [overload("url_get_hostname", f"{_U}.() -> string", _hostname)]),
    ("getPort", [overload("url_get_port", f"{_U}.() -> string", lambda url: _without_port(url.parts.host)[1])]),
    ("getEscapedPath", [overload("url_get_escaped_path", f"{_U}.() -> string", _escaped_path)]),
    ("getQuery", [overload("url_get_query", f"{_U}.() -> map(string, list(string))", _query)]),
)
