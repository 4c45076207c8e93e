"""Tell which texts are URIs, by the rules of Go's net/url (ParseRequestURI), which are those of the format ``uri``."""

from __future__ import annotations

import re

_ESCAPE = re.compile("[0-9a-fA-F]{2}")
_SCHEME = re.compile("[a-zA-Z][-+.0-9a-zA-Z]*")
_PORT = re.compile("(:[0-9]*)?")
_IN_USERINFO = frozenset("-._:~!$&'()*+,;=%@")
_IN_HOST = frozenset("-_.~!$&'()*+,;=:[]<>\"")


def is_request_uri(text: str) -> bool:
    """Return True for an absolute URI or an absolute path; a fragment counts as part of the path."""
    if not text or any(character < " " or character == "\x7f" for character in text):
        return False
    if text == "*":
        return True
    head, colon, rest = text.partition(":")
    scheme = head if colon and _SCHEME.fullmatch(head) else ""
    if not scheme:
        if text.startswith(":"):
            return False
        rest = text
    rest = rest.partition("?")[0]
    if not rest.startswith("/"):
        return bool(scheme)
    if scheme and rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        if not _is_authority(authority):
            return False
        rest = slash + path
    return _is_escaped(rest)


def _is_authority(text: str) -> bool:
    userinfo, at, host = text.rpartition("@")
    if at and not (all(_is_letter(each) or each in _IN_USERINFO for each in userinfo) and _is_escaped(userinfo)):
        return False
    if host.startswith("["):
        address, bracket, port = host.rpartition("]")
        if not bracket or not _PORT.fullmatch(port):
            return False
        before, zone, inside = address.partition("%25")
        return _is_host(before) and (not zone or _is_zone(inside)) and _is_host(bracket + port)
    before, colon, port = host.rpartition(":")
    return (not colon or bool(_PORT.fullmatch(colon + port))) and _is_host(host)


def _is_host(text: str) -> bool:
    """Return True if all characters may stand in a host, escaped or not; only others than ASCII may be escaped."""
    for index, part in enumerate(text.split("%")):
        if index:
            if not _ESCAPE.match(part) or (part[0] in "01234567" and part[:2] != "25"):
                return False
            part = part[2:]
        if any(each < "\x80" and not (_is_letter(each) or each in _IN_HOST) for each in part):
            return False
    return True


def _is_zone(text: str) -> bool:
    for index, part in enumerate(text.split("%")):
        if index:
            if not _ESCAPE.match(part):
                return False
            escaped = chr(int(part[:2], 16))
            if part[:2] != "25" and escaped != " " and not (_is_letter(escaped) or escaped in _IN_HOST):
                return False
            part = part[2:]
        if any(each < "\x80" and not (_is_letter(each) or each in _IN_HOST) for each in part):
            return False
    return True


def _is_escaped(text: str) -> bool:
    """Return True if two hexadecimal digits follow each percent sign."""
    return all(_ESCAPE.match(part) for part in text.split("%")[1:])


def _is_letter(character: str) -> bool:
    return character.isascii() and character.isalnum()
