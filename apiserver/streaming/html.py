"""Keeps a browser below a proxy's path, by rewriting redirects and links that lead to the server's own root.

Upstream: apimachinery/pkg/util/proxy/transport.go, from which the table of attributes that hold URLs is.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit, urlunsplit

from apiserver.streaming.targets import ProxyTarget

LIMIT = 1 << 20  # bytes; a larger page, compressed or not, is passed on as it is

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
# Elements whose content is text, not tags (golang.org/x/net/html: Tokenizer.readStartTag).
_RAW = frozenset({"iframe", "noembed", "noframes", "plaintext", "script", "style", "textarea", "title", "xmp"})


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
        """Return a page of HTML with its links rewritten; one that cannot be decoded, or grows too large, as it is."""
        page = _decoded(body, encoding)
        if page is None:
            return body
        changed = _rewritten(page, self.location)
        return changed if encoding in _PLAIN else _encoded(changed, encoding)


def is_page(content_type: str, encoding: str) -> bool:
    """Tell whether a response is HTML in an encoding that can be decoded."""
    return content_type.partition(";")[0].strip().lower() == "text/html" and (
        encoding in _PLAIN or encoding in _WINDOWS
    )


# A pod may have written the page to make patterns backtrack, which possessive quantifiers (``*+``) and atomic groups
# (``(?>…)``) never do.
_NAME = re.compile(rb"<(/?[a-z][^\s/>]*+)")  # the beginning of a start or end tag, in lower case
_ATTRIBUTE = re.compile(rb"""([^\s/>][^\s/>=]*+)(?>(\s*+=\s*+)("[^"]*+"|'[^']*+'|[^\s"'>][^\s>]*+)?+)?+""")
_REST = re.compile(rb"(?>[\s/]++|" + _ATTRIBUTE.pattern + rb")*+>")  # of a tag, behind its name


def _rewritten(page: bytes, change: Callable[[str], str]) -> bytes:
    pieces, position = [], 0
    for tag, start, end in _start_tags(page):
        pieces += [page[position:start], _tag(page[start:end], _URLS[tag], change)]
        position = end
    return b"".join([*pieces, page[position:]])


def _tag(attributes: bytes, names: tuple[str, ...], change: Callable[[str], str]) -> bytes:
    def attribute(match: re.Match[bytes]) -> bytes:
        name, equals, value = ((match[number] or b"").decode("latin-1") for number in (1, 2, 3))
        if name.lower() not in names or not value:
            return match[0]
        quote = value[0] if value[0] in "\"'" else ""
        return f"{name}{equals}{quote}{change(value.strip(quote) if quote else value)}{quote}".encode("latin-1")

    return _ATTRIBUTE.sub(attribute, attributes)


def _start_tags(page: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield the tags that may hold URLs, outside of scripts and comments, with where their attributes begin and end.

    This takes linear time: whatever has no end is the end of the page, as in HTML's own tokenizer.
    """
    lower, position = page.lower(), 0
    while (start := page.find(b"<", position)) >= 0:
        position = start + 1
        if found := _NAME.match(lower, start):
            rest = _REST.match(page, found.end())
            if rest is None:
                return
            position, tag = rest.end(), found[1].decode("latin-1")
            if tag in _URLS and position > found.end() + 1:
                yield tag, found.end(), position
            end = f"</{tag}".encode() if tag in _RAW else b""
        elif lower.startswith((b"<!", b"<?", b"</"), start):
            end = b"-->" if lower.startswith(b"<!--", start) else b">"
        else:
            continue
        position = lower.find(end, position)
        if position < 0:
            return


_PLAIN = ("", "identity")
# zlib's number for each encoding that can be decoded.
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": -zlib.MAX_WBITS}


def _decoded(body: bytes, encoding: str) -> bytes | None:
    """Return a page as it was before it was compressed; None if it is broken, or larger than LIMIT."""
    if encoding in _PLAIN:
        return body
    decompressor = zlib.decompressobj(_WINDOWS[encoding])
    try:
        page = decompressor.decompress(body, LIMIT + 1)
    except zlib.error:
        return None
    return page if decompressor.eof and not decompressor.unused_data and len(page) <= LIMIT else None


def _encoded(page: bytes, encoding: str) -> bytes:
    compressor = zlib.compressobj(wbits=_WINDOWS[encoding])
    return compressor.compress(page) + compressor.flush()
