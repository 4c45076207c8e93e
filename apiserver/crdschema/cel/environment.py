"""The environment of Kubernetes v1.32: which functions there are, and how an expression is compiled.

Upstream: apiserver pkg/cel/environment/base.go. It knows nothing of schemas: whoever has variables declares them, with
the fields of their types and how large values may be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from apiserver.crdschema import regex
from apiserver.crdschema.cel import parser
from apiserver.crdschema.cel.ast import Call, Ident, Literal, Node, Select
from apiserver.crdschema.cel.checker import Checked, Fields, check
from apiserver.crdschema.cel.declarations import Function, fits, merged
from apiserver.crdschema.cel.estimates import SizeOf, estimate
from apiserver.crdschema.cel.library import LIBRARIES
from apiserver.crdschema.cel.literals import check_literals, descendants
from apiserver.crdschema.cel.program import Program
from apiserver.crdschema.cel.source import CompileError, Source
from apiserver.crdschema.cel.stdlib import CONVERSIONS, OPTIONALS, STANDARD
from apiserver.crdschema.cel.types import Type
from apiserver.crdschema.cel.values import EvaluationError

# Upstream: apiserver pkg/apis/cel/config.go. All are in the units of estimates.py.
PER_CALL_LIMIT = 1_000_000
RUNTIME_BUDGET = 10_000_000
MAX_REQUEST_BYTES = 3 * 1024 * 1024
MAX_MESSAGE_BYTES = 5 * 1024


class InstantiationError(CompileError):
    """An expression that is well-typed but cannot be run, because of a constant in it."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A checked expression, with all its nodes."""

    root: Node
    checked: Checked
    nodes: Sequence[Node]

    @property
    def type(self) -> Type:
        return self.checked.types[self.root]

    def uses(self, variable: str) -> bool:
        """Return True if the expression names the variable."""
        return any(
            self.checked.references.get(node) == variable for node in self.nodes if isinstance(node, (Ident, Select))
        )

    def cost(self, size_of: SizeOf) -> int:
        """Return what the expression costs at most, given the sizes that the values at paths can have."""
        return estimate(self.root, self.checked, size_of)

    def program(self) -> Program:
        """Return what runs the expression. Raises InstantiationError."""
        for node in self.nodes:
            if isinstance(node, Call):
                _check_constants(node, self.checked)
        return Program(self.root, self.checked)


class Environment:
    """Functions, and variables with their types."""

    def __init__(self, variables: Mapping[str, Type], fields: Fields) -> None:
        self._variables = variables
        self._fields = fields

    def compile(self, text: str) -> Compiled:
        """Return the checked expression. Raises CompileError with cel-go's text."""
        root = parser.parse(text)
        source = Source(text)
        checked = check(root, source, self._variables, _functions(), self._fields)
        source.raise_reported()
        parents = descendants(root)
        check_literals(parents, source, checked)
        source.raise_reported()
        return Compiled(root, checked, tuple(parents))


@cache
def _functions() -> Mapping[str, Function]:
    return merged((STANDARD, OPTIONALS, *LIBRARIES))


def _check_constants(node: Call, checked: Checked) -> None:
    """Evaluate what can be known before: conversions of constants, and constant patterns."""
    if node.function in ("find", "findAll") and node.args and isinstance(node.args[0], Literal):
        why = regex.problem(str(node.args[0].value))
        if why:
            raise InstantiationError(why)
    if node.target is not None or node.function not in CONVERSIONS or len(node.args) != 1:
        return
    [argument] = node.args
    if isinstance(argument, Literal):
        _converted(node, checked, argument.value)


def _converted(node: Call, checked: Checked, value: Any) -> None:
    for overload in checked.overloads[node]:
        if all(map(fits, overload.params, (value,))):
            try:
                overload.call(value)
            except EvaluationError as error:
                raise InstantiationError(str(error)) from None
            return
