"""Write objects as YAML, in a fifth of the time that a general emitter takes.

The style is block style with sorted keys. A text is plain if it is a word that nobody could take for anything else, and
otherwise in double quotes with the escapes of JSON, which YAML shares.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

_PLAIN = re.compile(r"[^\W\d_][\w./-]*")
# Words that YAML 1.1 reads as a boolean, null or a number.
_RESERVED = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"))
# Characters that JSON leaves as they are, and that YAML does not allow or takes for the end of a line.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
# A key that is longer is not read without a question mark before it; YAML's limit is 1,024 characters.
_LONGEST_KEY = 128


def dump(value: Any) -> bytes:
    """Return a value that JSON can have as a YAML document."""
    parts: list[str] = []
    _write(value, "", "", parts.append)
    return "".join(parts).lstrip("\n").encode() + b"\n"


def _write(value: Any, indent: str, inline: str, write: Callable[[str], None]) -> None:
    """Write what follows a colon or a dash; ``inline`` is the space after a dash, and empty after a colon."""
    if isinstance(value, dict) and value:
        separator = inline or f"\n{indent}"
        for key in sorted(value):
            text = _text(key)
            write(f"{separator}{text}:" if len(text) <= _LONGEST_KEY else f"{separator}? {text}\n{indent}:")
            separator = f"\n{indent}"
            child = value[key]
            _write(child, indent if isinstance(child, list) else f"{indent}  ", "", write)
    elif isinstance(value, list) and value:
        separator = inline or f"\n{indent}"
        for child in value:
            write(f"{separator}-")
            separator = f"\n{indent}"
            _write(child, f"{indent}  ", " ", write)
    else:
        write(f" {_scalar(value)}")


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        text = repr(value)
        # YAML 1.1 takes 1e+20 for a text.
        return text if "." in text else text.replace("e", ".0e")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # It may have more than the 64 bits of orjson.
    return orjson.dumps(value).decode()


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    quoted = orjson.dumps(text).decode()
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)
