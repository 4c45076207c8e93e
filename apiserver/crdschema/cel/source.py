"""The text of an expression, and errors that point into it, in the form of cel-go."""

from __future__ import annotations

_MOST_ERRORS = 100
NOWHERE = -1


class CompileError(ValueError):
    """An expression that does not compile; the text names every fault found."""


class Source:
    """An expression's text, and what is wrong with it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._errors: list[str] = []
        self._count = 0

    def report(self, offset: int, message: str) -> None:
        """Remember a fault at a place in the text."""
        self._count += 1
        if self._count <= _MOST_ERRORS:
            self._errors.append(self._shown(offset, message))

    @property
    def failed(self) -> bool:
        return bool(self._errors)

    def raise_reported(self) -> None:
        """Raise CompileError if anything was reported."""
        if not self._errors:
            return
        if self._count > _MOST_ERRORS:
            self._errors.append(f"{self._count - _MOST_ERRORS} more errors were truncated")
        raise CompileError("\n".join(self._errors))

    def _shown(self, offset: int, message: str) -> str:
        if offset == NOWHERE:
            return f"ERROR: <input>:-1:0: {message}"
        line = self.text.count("\n", 0, offset) + 1
        start = self.text.rfind("\n", 0, offset) + 1
        column = offset - start
        head = f"ERROR: <input>:{line}:{column + 1}: {message}"
        end = self.text.find("\n", start)
        snippet = self.text[start : end if end >= 0 else len(self.text)].replace("\t", " ")
        if not snippet:
            return head
        # As cel-go, characters that are wide in a terminal get wide marks.
        dots = "".join("." if character.isascii() else "\uff0e" for character in snippet[:column])
        caret = "^" if snippet[column : column + 1].isascii() else "\uff3e"
        return f"{head}\n | {snippet}\n | {dots}{caret}"
