"""Compile one rule (``x-kubernetes-validations``) against the declaration of its schema.

Upstream: apiextensions-apiserver pkg/apiserver/schema/cel/compilation.go.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from apiserver.crdschema.cel import types
from apiserver.crdschema.cel.environment import Compiled, Environment, InstantiationError
from apiserver.crdschema.cel.program import Program
from apiserver.crdschema.cel.source import CompileError
from apiserver.crdschema.cel.types import Type
from apiserver.crdschema.celtypes import Declaration, Scope
from machinery.objects import Object


@dataclass(slots=True)
class CompiledRule:
    """A rule with what compiling it showed; ``error`` and ``message_error`` say why a part is no valid expression."""

    error: str = ""
    message_error: str = ""
    cost: int = 0
    message_cost: int = 0
    uses_old: bool = False
    program: Program | None = None
    message: Program | None = None


class RuleCompiler:
    """Compiles the rules of one schema, whose values are ``self``, and before the update ``oldSelf``."""

    def __init__(self, declaration: Declaration) -> None:
        # As upstream, the name differs from one time to the next, so that no rule can rely on it.
        self._scope = Scope(declaration, f"selfType{time.time_ns() % 10**9}")
        self._plain = self._environment(self._scope.type)
        self._optional = self._environment(types.optional_of(self._scope.type))

    def _environment(self, old: Type) -> Environment:
        return Environment({"self": self._scope.type, "oldSelf": old}, self._scope)

    def compile(self, rule: Object) -> CompiledRule:
        """Return the compiled rule, with errors if it is invalid. A rule without text compiles to nothing."""
        found = CompiledRule()
        try:
            self._compile(rule, found)
        except RecursionError:
            # The parser bounds how deeply expressions are nested; macros can add to it.
            found.error = "compilation failed: ERROR: <input>:-1:0: expression recursion limit exceeded: 250"
        return found

    def _compile(self, rule: Object, found: CompiledRule) -> None:
        text, message = rule.get("rule") or "", rule.get("messageExpression") or ""
        if not text.strip():
            return
        environment = self._optional if rule.get("optionalOldSelf") else self._plain
        try:
            compiled = environment.compile(text)
        except CompileError as error:
            found.error = f"compilation failed: {error}"
            return
        if compiled.type != types.BOOL:
            found.error = "cel expression must evaluate to a bool"
            return
        found.uses_old = compiled.uses("oldSelf")
        try:
            found.program = compiled.program()
        except InstantiationError as error:
            found.error = f"program instantiation failed: {error}"
            return
        found.cost = compiled.cost(self._scope.size_of)
        if message.strip():
            self._compile_message(environment, message, found)

    def _compile_message(self, environment: Environment, text: str, found: CompiledRule) -> None:
        compiled: Compiled
        try:
            compiled = environment.compile(text)
        except CompileError as error:
            found.message_error = f"messageExpression compilation failed: {error}"
            return
        if compiled.type != types.STRING:
            found.message_error = "messageExpression must evaluate to a string"
            return
        try:
            found.message = compiled.program()
        except InstantiationError as error:
            found.message_error = f"messageExpression instantiation failed: {error}"
            return
        found.message_cost = compiled.cost(self._scope.size_of)
