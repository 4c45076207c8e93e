"""URLs as Go's net/url parses them (ParseRequestURI); those that it parses are those of the format ``uri``."""

from __future__ import annotations

from typing import NamedTuple

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_DIGITS = frozenset("0123456789")
_HEX = frozenset("0123456789abcdefABCDEF")
_UNRESERVED = _LETTERS | _DIGITS | frozenset("-_.~")
# What Go leaves unescaped, or takes as valid, in each part.
IN_PATH = _UNRESERVED | frozenset("$&+,/:;=@")
VALID_IN_PATH = IN_PATH | frozenset("!'()*[]%")
_IN_HOST = _UNRESERVED | frozenset("!$&'()*+,;=:[]<>\"")
_IN_USER = _LETTERS | _DIGITS | frozenset("-._:~!$&'()*+,;=%@")


class Parts(NamedTuple):
    """The parts of a URL, unescaped but for ``raw_path``."""

    scheme: str
    user: str
    host: str
    path: str
    raw_path: str
    query: str


def is_request_uri(text: str) -> bool:
    """Return True for an absolute URI or an absolute path; a fragment counts as part of the path."""
    try:
        parse_request_uri(text)
    except ValueError:
        return False
    return True


def parse_request_uri(text: str) -> Parts:
    """Return the parts of an absolute URI or an absolute path. Raises ValueError with Go's text."""
    if any(character < " " or character == "\x7f" for character in text):
        raise ValueError("net/url: invalid control character in URL")
    if not text:
        raise ValueError("empty url")
    if text == "*":
        return Parts("", "", "", "*", "*", "")
    scheme, rest = _scheme(text)
    rest, _, query = rest.partition("?")
    if not rest.startswith("/"):
        if scheme:
            return Parts(scheme, "", "", "", "", query)
        raise ValueError("invalid URI for request")
    user, host = "", ""
    if (scheme or not rest.startswith("///")) and rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        user, host = _authority(authority)
        rest = slash + path
    return Parts(scheme, user, host, unescaped(rest, VALID_IN_PATH, strict=False), rest, query)


def _scheme(text: str) -> tuple[str, str]:
    for at, character in enumerate(text):
        if character in _LETTERS:
            continue
        if character in _DIGITS or character in "+-.":
            if at == 0:
                return "", text
            continue
        if character == ":":
            if at == 0:
                raise ValueError("missing protocol scheme")
            return text[:at].lower(), text[at + 1 :]
        return "", text
    return "", text


def _authority(text: str) -> tuple[str, str]:
    user, at, host = text.rpartition("@")
    host = _host(host)
    if not at:
        return "", host
    if not all(character in _IN_USER for character in user):
        raise ValueError("net/url: invalid userinfo")
    name, colon, password = user.partition(":")
    return unescaped(name, None) + colon + unescaped(password, None), host


def _host(text: str) -> str:
    if text.startswith("["):
        end = text.rfind("]")
        if end < 0:
            raise ValueError("missing ']' in host")
        port = text[end + 1 :]
        if not _is_port(port):
            raise ValueError(f'invalid port "{port}" after host')
        zone = text.find("%25", 0, end)
        if zone >= 0:
            return unescaped(text[:zone], _IN_HOST) + _zone(text[zone:end]) + text[end:]
    elif ":" in text:
        port = text[text.rfind(":") :]
        if not _is_port(port):
            raise ValueError(f'invalid port "{port}" after host')
    return unescaped(text, _IN_HOST)


def _zone(text: str) -> str:
    """Return the zone of an IPv6 address, in which Go takes only what may stand in a host, and spaces."""
    found = unescaped(text, None)
    for index, character in enumerate(found):
        if character.isascii() and character not in _IN_HOST and character not in "% ":
            raise ValueError(f'invalid URL escape "%{ord(found[index]):02X}"')
    return found


def _is_port(text: str) -> bool:
    return not text or (text.startswith(":") and all(character in _DIGITS for character in text[1:]))


def unescaped(text: str, allowed: frozenset[str] | None, *, strict: bool = True) -> str:
    """Return a part with its %xx replaced.

    In hosts (``allowed`` and ``strict``) only characters beyond ASCII may be written so.
    """
    if "%" not in text and (allowed is None or not strict):
        return text
    raw = bytearray()
    at = 0
    while at < len(text):
        character = text[at]
        if character != "%":
            if allowed is not None and strict and character not in allowed and character.isascii():
                raise ValueError(f'invalid character "{character}" in host name')
            raw += character.encode("utf-8", "surrogatepass")
            at += 1
            continue
        digits = text[at + 1 : at + 3]
        if len(digits) != 2 or not _HEX.issuperset(digits):
            raise ValueError(f'invalid URL escape "{text[at : at + 3]}"')
        if allowed is not None and strict and int(digits[0], 16) < 8 and digits != "25":
            raise ValueError(f'invalid URL escape "%{digits}"')
        raw.append(int(digits, 16))
        at += 3
    return raw.decode("utf-8", "replace")
