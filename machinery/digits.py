"""Numbers in texts from outside."""

from __future__ import annotations

_LONGEST = 18  # digits that fit into 64 bits, whatever they are


def is_number(text: str, *, signed: bool = False) -> bool:
    """Return True if ``int(text)`` is what Go makes of the text: up to 18 digits, behind a sign if ``signed``.

    ``str.isdigit`` is not enough: a superscript two is a digit to it and an error to ``int``, an Arabic one is 1 to
    both, and more than 4,300 digits are an error again.
    """
    if signed and text[:1] in ("+", "-"):
        text = text[1:]
    return text.isascii() and text.isdigit() and len(text) <= _LONGEST
