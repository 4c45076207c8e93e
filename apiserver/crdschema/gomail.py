"""Tell which texts are one e-mail address, by the rules of Go's net/mail (ParseAddress), for the format ``email``.

The grammar is RFC 5322's, with names, comments and groups: ``"Ann" <ann@example.com> (home)``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

_SPECIALS = frozenset('()<>[]:;@\\,"')


def is_address(text: str) -> bool:
    """Return True for exactly one address."""
    parser = _Parser(text)
    try:
        found = parser.addresses(in_group=False)
        parser.skip_comments()
    except ValueError:
        return False
    return found == 1 and parser.rest() == ""


def _is_visible(character: str) -> bool:
    return "!" <= character <= "~" or character >= "\x80"


def _is_atext(character: str) -> bool:
    return _is_visible(character) and character not in _SPECIALS


class _Parser:
    """A position in a text. Each method reads something there, or raises ValueError."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def rest(self) -> str:
        return self._text[self._position :]

    def addresses(self, *, in_group: bool) -> int:
        """Read a mailbox or a group of them; return how many there are."""
        self._skip_space()
        if not self._peek():
            raise ValueError("no address")
        start = self._position
        try:
            self._mailbox()
        except ValueError:
            self._position = start
        else:
            self._skip_space()
            if self._take("("):
                self._comment()
            return 1
        if self._peek() != "<":
            self._phrase()
        self._skip_space()
        if not in_group and self._take(":"):
            return self._group()
        self._expect("<")
        self._mailbox()
        self._expect(">")
        return 1

    def skip_comments(self) -> None:
        self._skip_space()
        while self._take("("):
            self._comment()
            self._skip_space()

    def _group(self) -> int:
        self._skip_space()
        found = 0
        while not self._take(";"):
            if found:
                self._expect(",")
            found += self.addresses(in_group=True)
            self.skip_comments()
        self.skip_comments()
        return found

    def _mailbox(self) -> None:
        self._skip_space()
        if self._peek() == '"':
            if not self._quoted():
                raise ValueError("empty quoted string")
        else:
            self._dotted_atom()
        self._expect("@")
        self._skip_space()
        if self._take("["):
            ipaddress.ip_address(_without_zone(self._while(lambda each: _is_visible(each) and each not in "[]\\")))
            self._expect("]")
        else:
            self._dotted_atom()

    def _phrase(self) -> None:
        self._word()
        while True:
            self.skip_comments()
            start = self._position
            try:
                self._word()
            except ValueError:
                self._position = start
                return

    def _word(self) -> None:
        self._skip_space()
        if self._peek() == '"':
            self._quoted()
        elif not self._while(_is_atext):
            raise ValueError("missing word")

    def _quoted(self) -> str:
        self._expect('"')
        start = self._position
        while True:
            self._while(lambda each: (_is_visible(each) or each in " \t") and each not in '"\\')
            if self._take("\\"):
                escaped = self._peek()
                if not (escaped and (_is_visible(escaped) or escaped in " \t")):
                    raise ValueError("bad character")
                self._position += 1
            else:
                self._expect('"')
                return self._text[start : self._position - 1]

    def _dotted_atom(self) -> None:
        atom = self._while(_is_atext)
        if not atom or ".." in atom or atom[0] == "." or atom[-1] == ".":
            raise ValueError("invalid atom")

    def _comment(self) -> None:
        """Read the rest of a comment, which may have comments inside."""
        depth = 1
        while depth:
            character = self._peek()
            if not character:
                raise ValueError("unclosed comment")
            depth += {"(": 1, ")": -1}.get(character, 0)
            self._position += 2 if character == "\\" and self._position + 1 < len(self._text) else 1

    def _while(self, test: Callable[[str], bool]) -> str:
        start = self._position
        while self._position < len(self._text) and test(self._text[self._position]):
            self._position += 1
        return self._text[start : self._position]

    def _skip_space(self) -> None:
        self._while(lambda each: each in " \t")

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def _take(self, character: str) -> bool:
        if self._peek() != character:
            return False
        self._position += 1
        return True

    def _expect(self, character: str) -> None:
        if not self._take(character):
            raise ValueError(f"expected {character}")


def _without_zone(address: str) -> str:
    if "%" in address:
        raise ValueError("an address with a zone")
    return address
