"""Check objects by the rules of their schema (``x-kubernetes-validations``), which are written in CEL.

Upstream: apiextensions-apiserver pkg/apiserver/schema/cel/validation.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from apiserver.crdschema import fieldpath
from apiserver.crdschema.cel.environment import MAX_MESSAGE_BYTES, PER_CALL_LIMIT, RUNTIME_BUDGET
from apiserver.crdschema.cel.program import Clock, CostLimitError, Program, TimeLimitError
from apiserver.crdschema.cel.values import NONE, EvaluationError, Optional
from apiserver.crdschema.celrule import CompiledRule, RuleCompiler
from apiserver.crdschema.celtypes import Declaration, declaration, escape
from apiserver.crdschema.celvalues import Converter
from apiserver.crdschema.structural import EMBEDDED, RULES, Schema, below
from apiserver.crdschema.values import MISSING, element_finder, same
from machinery.errors import FieldError, quote
from machinery.objects import Object

# Upstream limits costs only. A unit of cost takes longer here, so that there is a limit of time too.
_SECONDS = 2.0
_OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


def rules_of(schema: Schema) -> Rules | None:
    """Return the compiled rules of a resource's schema and of the schemas inside it, None if there are none."""
    return joined(schema, _compiled_rules(schema, declaration(schema, root=True), root=True), root=True)


def _compiled_rules(
    schema: Schema, declared: Declaration | None, *, root: bool = False
) -> dict[int, list[CompiledRule]]:
    """Return the rules of a schema and of those inside it, by the schemas' ids."""
    found: dict[int, list[CompiledRule]] = {}
    for name, child in (schema.get("properties") or {}).items():
        found |= _compiled_rules(child, declared.fields.get(escape(name)) if declared is not None else None)
    for part in ("additionalProperties", "items"):
        if (inner := below(schema, part)) is not None:
            found |= _compiled_rules(inner, declared.element if declared is not None else None)
    if schema.get(RULES):
        its = declared or declaration(schema, root=root or bool(schema.get(EMBEDDED)))
        if its is not None:
            compiler = RuleCompiler(its)
            found[id(schema)] = [compiler.compile(rule) for rule in schema[RULES]]
    return found


def joined(schema: Schema, compiled: Mapping[int, list[CompiledRule]], *, root: bool = False) -> Rules | None:
    """Return the rules of a schema and of those inside it, given those of each by its id; None if there are none."""
    properties = {
        name: rules
        for name, child in (schema.get("properties") or {}).items()
        if (rules := joined(child, compiled)) is not None
    }
    additional, items = (
        joined(inner, compiled) if (inner := below(schema, part)) is not None else None
        for part in ("additionalProperties", "items")
    )
    if not (schema.get(RULES) or properties or additional or items):
        return None
    return Rules(schema, compiled.get(id(schema)) or [], root, properties, additional, items)


class _Rule:
    """One rule, compiled."""

    def __init__(self, rule: Object, compiled: CompiledRule, schema: Schema) -> None:
        self.text: str = (rule.get("rule") or "").strip()
        self.message: str = (rule.get("message") or "").strip()
        self.optional = bool(rule.get("optionalOldSelf"))
        self.reason: str = rule.get("reason") or "FieldValueInvalid"
        self.message_expression: str = rule.get("messageExpression") or ""
        place = rule.get("fieldPath") or ""
        self.place = fieldpath.find(place, schema).text if place else ""
        self.compiled = compiled

    @property
    def named(self) -> str:
        """Return what error texts call the rule."""
        return self.message or self.text


class _OutOfBudgetError(Exception):
    """The end of a validation, with the error that tells why."""

    def __init__(self, error: FieldError) -> None:
        super().__init__(str(error))
        self.error = error


class _Basis:
    """What tells whether a value has changed: the value, or the nearest one around it whose old value is known."""

    def __init__(self, value: Any, old: Any) -> None:
        self._value = value
        self._old = old

    @cached_property
    def unchanged(self) -> bool:
        return same(self._value, self._old)

    def of(self, value: Any, old: Any) -> _Basis:
        """Return the basis of a value directly inside."""
        return self if old is MISSING or self._old is MISSING else _Basis(value, old)


@dataclass
class Run:
    """The validation of one object: what is left of its budget, and the values converted so far."""

    clock: Clock = field(default_factory=lambda: Clock(_SECONDS))
    budget: int = RUNTIME_BUDGET
    converter: Converter = field(default_factory=Converter)

    def evaluate(self, program: Program, variables: dict[str, Any]) -> Any:
        """Return a program's result, which may be an EvaluationError.

        Raises CostLimitError if it alone cost too much, TimeLimitError if all together did.
        """
        result, cost = program.run(variables, limit=PER_CALL_LIMIT, clock=self.clock)
        self.budget -= cost
        if self.budget < 0:
            raise TimeLimitError
        return result


class Rules:
    """The rules of a schema and of the schemas inside it."""

    def __init__(
        self,
        schema: Schema,
        compiled: list[CompiledRule],
        root: bool,
        properties: dict[str, Rules],
        additional: Rules | None,
        items: Rules | None,
    ) -> None:
        self._schema = schema
        self._root = root or bool(schema.get(EMBEDDED))
        self._rules = [
            _Rule(rule, its, schema) for rule, its in zip(schema.get(RULES) or (), compiled, strict=bool(compiled))
        ]
        self._kind = schema.get("type", "")
        self.properties = properties
        self._additional = additional
        self.items = items

    def check(self, obj: Object, old: Object | None) -> list[FieldError]:
        """Return an error for each rule that an object breaks, or that the change from ``old`` to it breaks.

        What has not changed need not satisfy rules that do not look at the change: they may be newer than the object.
        """
        before = MISSING if old is None else old
        return self._checked(obj, before, "", Run(), _Basis(obj, before))

    def check_default(self, value: Any, path: str, run: Run) -> list[FieldError]:
        """Return an error for each rule that a default breaks. ``run`` is shared by all defaults of a schema."""
        return self._checked(value, value, path, run, _Basis(value, MISSING))

    def _checked(self, value: Any, old: Any, path: str, run: Run, basis: _Basis) -> list[FieldError]:
        found: list[FieldError] = []
        try:
            for error in self._check(value, old, path, run, basis):
                found.append(error)
        except _OutOfBudgetError as end:
            found.append(end.error)
        return found

    def _check(self, value: Any, old: Any, path: str, run: Run, basis: _Basis) -> Iterator[FieldError]:
        if value is None:
            return
        if self._rules:
            yield from self._apply(value, old, path, run, basis)
        if isinstance(value, list) and self.items is not None:
            before = element_finder(self._schema, old)
            for index, element in enumerate(value):
                earlier = before(element)
                inner_basis = basis.of(element, earlier)
                yield from self.items._check(element, earlier, f"{path}[{index}]", run, inner_basis)
        elif isinstance(value, dict) and (self.properties or self._additional is not None):
            known = old if isinstance(old, dict) else {}
            for key, child in value.items():
                inner, at = self.properties.get(key), f"{path}.{key}" if path else key
                if inner is None and self._additional is not None:
                    inner, at = self._additional, f"{path}[{key}]"
                if inner is not None:
                    earlier = known.get(key, MISSING)
                    yield from inner._check(child, earlier, at, run, basis.of(child, earlier))

    def _apply(self, value: Any, old: Any, path: str, run: Run, basis: _Basis) -> Iterator[FieldError]:
        present = old is not MISSING and old is not None
        variables = {"self": run.converter.convert(self._schema, value, root=self._root)}
        before = run.converter.convert(self._schema, old, root=self._root) if present else None
        for rule in self._rules:
            compiled = rule.compiled
            if compiled.error:
                yield FieldError.invalid(path or "<nil>", self._kind, f"rule compile error: {compiled.error}")
                continue
            if compiled.program is None or (compiled.uses_old and not present and not rule.optional):
                continue
            its = dict(variables)
            if compiled.uses_old or compiled.message is not None:
                its["oldSelf"] = (Optional(before, present=True) if present else NONE) if rule.optional else before
            result = self._evaluate(rule, compiled.program, its, path, run)
            if result is True:
                continue
            if isinstance(result, FieldError):
                yield result
                continue
            if not compiled.uses_old and basis.unchanged:
                continue
            yield self._broken(rule, its, path, run)

    def _evaluate(
        self, rule: _Rule, program: Program, variables: dict[str, Any], path: str, run: Run
    ) -> bool | FieldError:
        """Return whether the rule holds, or an error if that cannot be told. Raises _OutOfBudgetError."""
        at = path or "<nil>"
        try:
            result = run.evaluate(program, variables)
        except TimeLimitError:
            raise _OutOfBudgetError(FieldError.invalid(at, self._kind, _OUT_OF_BUDGET)) from None
        except CostLimitError:
            why = (
                "'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to "
                f"call cost exceeds limit for rule: {rule.named}"
            )
            raise _OutOfBudgetError(FieldError.invalid(at, self._kind, why)) from None
        if not isinstance(result, EvaluationError):
            return result is True
        words = f"{result} evaluating rule: {rule.named}"
        if str(result).startswith("no such overload"):
            words = (
                f"'{result}': call arguments did not match a supported operator, function or macro signature for "
                f"rule: {rule.named}"
            )
        return FieldError.invalid(at, self._kind, words)

    def _broken(self, rule: _Rule, variables: dict[str, Any], path: str, run: Run) -> FieldError:
        at = ".".join(filter(None, (path, rule.place))) or "<nil>"
        detail = self._told(rule, variables, at, run) or rule.message or f"failed rule: {rule.text}"
        if rule.reason == "FieldValueDuplicate":
            return FieldError.duplicate(at, self._kind)
        if rule.reason in ("FieldValueForbidden", "FieldValueRequired"):
            return FieldError(rule.reason, at, detail, "")
        return FieldError.invalid(at, self._kind, detail)

    def _told(self, rule: _Rule, variables: dict[str, Any], at: str, run: Run) -> str:
        """Return the result of the rule's messageExpression, "" if it is no text of one line and moderate length."""
        if rule.compiled.message is None:
            return ""
        try:
            told = run.evaluate(rule.compiled.message, variables)
        except TimeLimitError:
            why = (
                "messageExpression evaluation failed due to running out of cost budget, no further validation rules "
                "will be run"
            )
            raise _OutOfBudgetError(FieldError.invalid(at, self._kind, why)) from None
        except CostLimitError:
            why = (
                "no further validation rules will be run due to call cost exceeds limit for messageExpression: "
                f"{quote(rule.message_expression)}"
            )
            raise _OutOfBudgetError(FieldError.invalid(at, self._kind, why)) from None
        text = told.strip() if isinstance(told, str) else ""
        return "" if "\n" in text or len(text.encode()) > MAX_MESSAGE_BYTES else text
