"""Keeps a browser below a proxy's path, by rewriting redirects and links that lead to the server's own root.

Upstream: apimachinery/pkg/util/proxy/transport.go, from which the table of attributes that hold URLs is.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from itertools import accumulate
from urllib.parse import urlsplit, urlunsplit

from apiserver.streaming.targets import ProxyTarget

LIMIT = 16 << 20  # a larger page is passed on as it is

_URLS = {
    "a": ("href",),
    "applet": ("codebase",),
    "area": ("href",),
    "audio": ("src",),
    "base": ("href",),
    "blockquote": ("cite",),
    "body": ("background",),
    "button": ("formaction",),
    "command": ("icon",),
    "del": ("cite",),
    "embed": ("src",),
    "form": ("action",),
    "frame": ("longdesc", "src"),
    "head": ("profile",),
    "html": ("manifest",),
    "iframe": ("longdesc", "src"),
    "img": ("longdesc", "src", "usemap"),
    "input": ("src", "usemap", "formaction"),
    "ins": ("cite",),
    "link": ("href",),
    "object": ("classid", "codebase", "data", "usemap"),
    "q": ("cite",),
    "script": ("src",),
    "source": ("src",),
    "video": ("poster", "src"),
}
_ATTRIBUTE = re.compile(r"""([^\s"'>/=]+)(\s*=\s*)("[^"]*"|'[^']*'|[^\s"'=<>`]+)""")


class Rewriter:
    """Rewrites URLs of the server ``target``. ``client_host`` is the client's Host header: how it calls this server."""

    def __init__(self, prefix: str, target: ProxyTarget, client_host: str = "") -> None:
        self._prefix = prefix
        self._own = ("", target.host, f"{target.host}:{target.port}")
        self._client_host = client_host

    def location(self, url: str) -> str:
        """Return the URL, changed to lead through the proxy if it is absolute and on the same server."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return url
        if parts.netloc not in (*self._own, self._client_host) or not parts.path.startswith("/"):
            return url
        if parts.path == self._prefix or parts.path.startswith(self._prefix + "/"):
            return url
        named = bool(parts.netloc) and parts.netloc == self._client_host
        origin = (parts.scheme, parts.netloc) if named else ("", "")
        return urlunsplit((*origin, self._prefix + parts.path, parts.query, parts.fragment))

    def page(self, body: bytes, encoding: str) -> bytes:
        """Return a page of HTML with its links rewritten; one that cannot be decoded is returned as it is."""
        decode, encode = _CODECS[encoding]
        try:
            text = decode(body).decode("latin-1")  # which leaves any bytes as they are; tags are ASCII
        except (OSError, EOFError, zlib.error):
            return body
        return encode(_rewritten(text, self.location).encode("latin-1"))


def is_page(content_type: str, encoding: str) -> bool:
    """Tell whether a response is HTML in an encoding that can be decoded."""
    return content_type.partition(";")[0].strip().lower() == "text/html" and encoding in _CODECS


def _rewritten(text: str, change: Callable[[str], str]) -> str:
    tags = _Tags(text)
    pieces, position = [], 0
    for start, tag, raw in tags.found:
        pieces += [text[position:start], _tag(raw, _URLS[tag], change)]
        position = start + len(raw)
    return "".join([*pieces, text[position:]])


def _tag(raw: str, names: tuple[str, ...], change: Callable[[str], str]) -> str:
    def attribute(match: re.Match[str]) -> str:
        name, equals, value = match.groups()
        if name.lower() not in names:
            return match[0]
        quote = value[0] if value[0] in "\"'" else ""
        return f"{name}{equals}{quote}{change(value.strip(quote) if quote else value)}{quote}"

    return _ATTRIBUTE.sub(attribute, raw)


class _Tags(HTMLParser):
    """Finds the start tags that may hold URLs, outside of scripts and comments, as (position, tag, text)."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=False)
        self.found: list[tuple[int, str, str]] = []
        self._lines = [0, *accumulate(len(line) for line in text.split("\n"))]
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        raw = self.get_starttag_text()
        if tag in _URLS and raw:
            line, offset = self.getpos()
            self.found.append((self._lines[line - 1] + line - 1 + offset, tag, raw))


def _inflate(body: bytes) -> bytes:
    return zlib.decompress(body, -zlib.MAX_WBITS)


def _deflate(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


def _same(body: bytes) -> bytes:
    return body


_CODECS: Mapping[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "": (_same, _same),
    "identity": (_same, _same),
    "gzip": (gzip.decompress, gzip.compress),
    "deflate": (_inflate, _deflate),
}
