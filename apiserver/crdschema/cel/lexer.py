"""Cut a CEL expression into tokens (upstream: cel-go parser/gen/CEL.g4).

It looks at each character once: expressions come from users, and may be long.
"""

from __future__ import annotations

from typing import NamedTuple

from apiserver.crdschema.cel.values import INT_MAX, UINT_MAX

_TWO = frozenset(("==", "!=", "<=", ">=", "&&", "||"))
_ONE = frozenset("<>[]{}().,-!?:+*/%=")
_KEYWORDS = frozenset(("in", "true", "false", "null"))
_ESCAPES = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    '"': '"',
    "'": "'",
    "\\": "\\",
    "?": "?",
    "`": "`",
}
_HEX = frozenset("0123456789abcdefABCDEF")
_DIGITS = frozenset("0123456789")
_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_NAME = _FIRST | _DIGITS


class SyntaxFault(ValueError):
    """A text that is no expression, with the place of the fault."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message


class Token(NamedTuple):
    """A token: ``kind`` is name, int, uint, double, string, bytes, end, or the operator or keyword itself."""

    kind: str
    offset: int
    value: object = None


def tokens(text: str) -> list[Token]:
    """Return the tokens of a text, the last of which is ``end``. Raises SyntaxFault."""
    found: list[Token] = []
    at, size = 0, len(text)
    while at < size:
        character = text[at]
        if character in " \t\r\n\f":
            at += 1
        elif character in _FIRST:
            token, at = _word(text, at)
            found.append(token)
        elif character in _DIGITS or (character == "." and text[at + 1 : at + 2] in _DIGITS and at + 1 < size):
            token, at = _number(text, at)
            found.append(token)
        elif character in "'\"":
            token, at = _string(text, at, at)
            found.append(token)
        elif text[at : at + 2] == "//":
            end = text.find("\n", at)
            at = end if end >= 0 else size
        elif text[at : at + 2] in _TWO:
            found.append(Token(text[at : at + 2], at))
            at += 2
        elif character in _ONE:
            found.append(Token(character, at))
            at += 1
        else:
            raise SyntaxFault(at, f"Syntax error: token recognition error at: '{character}'")
    found.append(Token("end", size))
    return found


def _word(text: str, at: int) -> tuple[Token, int]:
    end = at
    while end < len(text) and text[end] in _NAME:
        end += 1
    word = text[at:end]
    if text[end : end + 1] in ("'", '"') and word.lower() in ("r", "b", "br"):
        return _string(text, at, end)
    return (Token(word, at) if word in _KEYWORDS else Token("name", at, word)), end


def _number(text: str, at: int) -> tuple[Token, int]:
    if text[at : at + 2] == "0x" and text[at + 2 : at + 3] in _HEX and at + 2 < len(text):
        end = at + 2
        while end < len(text) and text[end] in _HEX:
            end += 1
        return _integer(text, at, end, 16)
    end = _digits(text, at)
    whole = end
    if text[end : end + 1] == "." and text[end + 1 : end + 2] in _DIGITS and end + 1 < len(text):
        end = _digits(text, end + 1)
    if text[end : end + 1] in ("e", "E"):
        exponent = end + 1 + (text[end + 1 : end + 2] in ("+", "-"))
        if text[exponent : exponent + 1] in _DIGITS and exponent < len(text):
            end = _digits(text, exponent)
    if end == whole:
        return _integer(text, at, end, 10)
    value = float(text[at:end])
    if value == float("inf"):
        raise SyntaxFault(at, "invalid double literal")
    return Token("double", at, value), end


def _digits(text: str, at: int) -> int:
    while at < len(text) and text[at] in _DIGITS:
        at += 1
    return at


def _integer(text: str, at: int, end: int, base: int) -> tuple[Token, int]:
    digits = text[at:end].removeprefix("0x") if base == 16 else text[at:end]
    unsigned = text[end : end + 1] in ("u", "U")
    # A literal of more than 32 digits is too large, unless it begins with zeros.
    significant = digits.lstrip("0") or "0"
    value = int(significant, base) if len(significant) <= 32 else UINT_MAX + 1
    # The least int is written as minus its absolute value.
    if value > (UINT_MAX if unsigned else INT_MAX + 1):
        raise SyntaxFault(at, f"invalid {'uint' if unsigned else 'int'} literal")
    return Token("uint" if unsigned else "int", at, value), end + unsigned


def _string(text: str, start: int, at: int) -> tuple[Token, int]:
    """Read a string whose prefix begins at ``start`` and whose quote stands at ``at``."""
    prefix = text[start:at].lower()
    raw, is_bytes = "r" in prefix, "b" in prefix
    quote = text[at] * 3 if text[at : at + 3] == text[at] * 3 else text[at]
    position = at + len(quote)
    parts: list[str | bytes] = []
    plain = position
    while True:
        if position >= len(text) or (len(quote) == 1 and text[position] in "\r\n"):
            raise SyntaxFault(start, f"Syntax error: token recognition error at: '{text[start:position]}'")
        if text.startswith(quote, position):
            break
        if text[position] == "\\" and not raw:
            parts.append(text[plain:position])
            part, position = _escape(text, start, position, is_bytes=is_bytes)
            parts.append(part)
            plain = position
        else:
            position += 1
    parts.append(text[plain:position])
    end = position + len(quote)
    if is_bytes:
        value: object = b"".join(part if isinstance(part, bytes) else part.encode() for part in parts)
    else:
        value = "".join(part for part in parts if isinstance(part, str))
    return Token("bytes" if is_bytes else "string", start, value), end


def _escape(text: str, start: int, at: int, *, is_bytes: bool) -> tuple[str | bytes, int]:
    letter = text[at + 1 : at + 2]
    if letter in _ESCAPES:
        return _ESCAPES[letter], at + 2
    lengths = {"x": 2, "X": 2, "u": 4, "U": 8}
    if letter in lengths:
        digits, base, end = text[at + 2 : at + 2 + lengths[letter]], 16, at + 2 + lengths[letter]
        valid = len(digits) == lengths[letter] and _HEX.issuperset(digits)
    else:
        digits, base, end = text[at + 1 : at + 4], 8, at + 4
        valid = len(digits) == 3 and digits[0] in "0123" and set("01234567").issuperset(digits)
    if not valid or not letter:
        raise SyntaxFault(start, f"Syntax error: token recognition error at: '{text[start : at + 2]}'")
    code = int(digits, base)
    if is_bytes and letter in ("u", "U"):
        raise SyntaxFault(start, "unable to unescape string")
    if is_bytes:
        return bytes((code,)), end
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise SyntaxFault(start, "invalid unicode code point")
    return chr(code), end
