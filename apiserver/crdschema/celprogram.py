"""A CEL expression: type-check it against a schema, compile it, run it. Errors have the texts of cel-go."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_optional, ext_strings

from apiserver.crdschema.cellibrary import declarations
from apiserver.crdschema.celtypes import Types

# In rules with ``optionalOldSelf``, oldSelf is an optional value. A macro over a list with this one item is put around
# the rule to bind the name.
_OPTIONAL = "[{present} ? optional.of(oldSelf_) : optional.none()].{macro}(oldSelf, {expression}\n)"
_PRESENT = "hasOldSelf_"


class CompileError(ValueError):
    """An expression that does not compile."""


class EvaluationError(Exception):
    """An evaluation that failed."""


class BudgetError(EvaluationError):
    """An evaluation that took too long."""


class WrongTypeError(CompileError):
    """An expression whose result has the wrong type."""


class Checker:
    """Type-checks the rules of one schema."""

    def __init__(self, types: Types) -> None:
        self._types = types
        self._plain = self._environment("self", "oldSelf")
        self._optional = self._environment("self", "oldSelf_")

    def _environment(self, *names: str) -> Any:
        return cel.NewEnv(
            descriptor_pool=self._types.pool,
            variables=dict.fromkeys(names, self._types.type) | {_PRESENT: cel.Type.BOOL},
            extensions=_extensions(),
            functions=declarations(checking=True),
        )

    def check(self, expression: str, wanted: str, *, optional: bool = False) -> None:
        """Raise CompileError unless the expression's result is of the type ``wanted`` (BOOL or STRING)."""
        if optional:
            found = _compiled(self._optional, _bound(expression, "map"))
        else:
            found = _compiled(self._plain, expression)
        if found.return_type().name() not in (wanted, f"LIST<{wanted}>", "DYN", "LIST<DYN>"):
            raise WrongTypeError(f"cel expression must evaluate to a {wanted.lower()}")


class Program:
    """A compiled expression."""

    def __init__(self, expression: str, *, optional: bool = False, macro: str = "all") -> None:
        self._compiled = _compiled(_runtime(old=True), _bound(expression, macro) if optional else expression)
        self.uses_old = not _compiles(expression)

    def run(self, data: Mapping[str, Any]) -> Any:
        """Return the result for these variables; raises EvaluationError."""
        try:
            result = self._compiled.eval(data=dict(data))
        except RuntimeError as error:
            if "budget" in str(error):
                raise BudgetError(str(error)) from None
            raise EvaluationError(_evaluation_words(str(error))) from None
        if result.type().name() == "ERROR":
            raise EvaluationError(_evaluation_words(str(result.plain_value())))
        return result.plain_value()


def old_values(old: Any, *, present: bool) -> dict[str, Any]:
    """Return the variables that an expression with an optional ``oldSelf`` needs beside ``self``."""
    return {"oldSelf_": old, _PRESENT: present}


def _bound(expression: str, macro: str) -> str:
    return _OPTIONAL.format(present=_PRESENT, macro=macro, expression=expression)


def _extensions() -> list[Any]:
    return [ext_strings.ExtStrings(2), ext_optional.ExtOptional()]


@cache
def _runtime(*, old: bool) -> Any:
    """Return the environment in which rules run; without ``old``, the names of the old value are unknown."""
    names = {"self": cel.Type.DYN}
    if old:
        names |= {"oldSelf": cel.Type.DYN, "oldSelf_": cel.Type.DYN, _PRESENT: cel.Type.BOOL}
    return cel.NewEnv(variables=names, extensions=_extensions(), functions=declarations(checking=False))


def _compiles(expression: str) -> bool:
    """Return True if an expression, which is known to compile, compiles without ``oldSelf`` too."""
    try:
        _compiled(_runtime(old=False), expression)
    except CompileError:
        return False
    return True


def _compiled(environment: Any, expression: str) -> Any:
    try:
        return environment.compile(expression)
    except RuntimeError as error:
        raise CompileError(_compile_words(str(error))) from None


def _compile_words(text: str) -> str:
    text = _without_code(text)
    return re.sub(r"undefined field '(\w+)' not found in struct '[^']*'", r"undefined field '\1'", text)


def _evaluation_words(text: str) -> str:
    text = _without_code(text)
    for pattern, words in _EVALUATION_WORDS:
        if match := pattern.fullmatch(text):
            return match.expand(words)
    return text


_NO_QUOTED_KEY = re.compile(r'Key not found in map : "(.*)"')
_NO_KEY = re.compile(r"Key not found in map : (.*)")
_NO_INDEX = re.compile(r"Index error: index=(-?\d+)(?:\D.*)?")
_EVALUATION_WORDS = (
    (_NO_QUOTED_KEY, r"no such key: \1"),
    (_NO_KEY, r"no such key: \1"),
    (_NO_INDEX, r"index out of bounds: \1"),
    (re.compile(r"divide by zero"), "division by zero"),
    (re.compile(r"No matching overloads found.*"), "no such overload"),
)
_CODE_BEFORE = re.compile("[A-Z_]+")
_CODE_BEHIND = re.compile(r"[A-Z_]+\]")


def _without_code(text: str) -> str:
    """Return a message without the status code that the library writes before it, and behind it in brackets."""
    code, separator, message = text.partition(": ")
    if separator and _CODE_BEFORE.fullmatch(code):
        text = message
    message, _, code = text.rpartition("[")
    return message.rstrip() if _CODE_BEHIND.fullmatch(code) else text
