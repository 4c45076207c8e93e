"""Check objects by the rules of their schema (``x-kubernetes-validations``), which are written in CEL.

Upstream: apiextensions-apiserver pkg/apiserver/schema/cel/validation.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apiserver.crdschema import fieldpath
from apiserver.crdschema.celprogram import BudgetError, EvaluationError, Program, old_values
from apiserver.crdschema.celtypes import value_of
from apiserver.crdschema.structural import EMBEDDED, RULES, Schema, below
from apiserver.crdschema.values import MISSING, child_of, element_finder, same
from machinery.errors import FieldError
from machinery.objects import Object

_MOST_MESSAGE_BYTES = 5 * 1024
_OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


def rules_of(schema: Schema) -> Rules | None:
    """Return the compiled rules of a schema and of the schemas inside it, None if there are none."""
    return _rules_of(schema, root=True)


def _rules_of(schema: Schema, *, root: bool = False) -> Rules | None:
    properties = {
        name: rules
        for name, child in (schema.get("properties") or {}).items()
        if (rules := _rules_of(child)) is not None
    }
    additional, items = (
        _rules_of(inner) if (inner := below(schema, part)) is not None else None
        for part in ("additionalProperties", "items")
    )
    if not (schema.get(RULES) or properties or additional or items):
        return None
    return Rules(schema, root, properties, additional, items)


class _Rule:
    """One rule, compiled."""

    def __init__(self, rule: Object, schema: Schema) -> None:
        self.text: str = rule["rule"].strip()
        self.message: str = (rule.get("message") or "").strip()
        self.optional = bool(rule.get("optionalOldSelf"))
        self.reason: str = rule.get("reason") or "FieldValueInvalid"
        place = rule.get("fieldPath") or ""
        self.place = fieldpath.find(place, schema).text if place else ""
        self.program = Program(rule["rule"], optional=self.optional)
        expression = rule.get("messageExpression")
        self.message_program = Program(expression, optional=self.optional, macro="map") if expression else None
        self.uses_old = self.program.uses_old

    @property
    def named(self) -> str:
        """Return what error texts call the rule."""
        return self.message or self.text


class Rules:
    """The rules of a schema and of the schemas inside it."""

    def __init__(
        self, schema: Schema, root: bool, properties: dict[str, Rules], additional: Rules | None, items: Rules | None
    ) -> None:
        self._schema = schema
        self._root = root or bool(schema.get(EMBEDDED))
        self._rules = [_Rule(rule, schema) for rule in schema.get(RULES) or ()]
        self._properties = properties
        self._additional = additional
        self._items = items

    def check(self, obj: Object, old: Object | None) -> list[FieldError]:
        """Return an error for each rule that an object breaks, or that the change from ``old`` to it breaks."""
        found: list[FieldError] = []
        try:
            for error in self._check(obj, MISSING if old is None else old, ""):
                found.append(error)
        except BudgetError:
            found.append(FieldError.invalid("<nil>", self._schema.get("type", ""), _OUT_OF_BUDGET))
        return found

    def _check(self, value: Any, old: Any, path: str) -> Iterator[FieldError]:
        if value is None:
            return
        if self._rules:
            yield from self._apply(value, old, path)
        if isinstance(value, list) and self._items is not None:
            before = element_finder(self._schema, old)
            for index, element in enumerate(value):
                yield from self._items._check(element, before(element), f"{path}[{index}]")
        elif isinstance(value, dict):
            for key, child in value.items():
                inner, at = self._properties.get(key), f"{path}.{key}" if path else key
                if inner is None and self._additional is not None:
                    inner, at = self._additional, f"{path}[{key}]"
                if inner is not None:
                    yield from inner._check(child, child_of(self._schema, old, key), at)

    def _apply(self, value: Any, old: Any, path: str) -> Iterator[FieldError]:
        present, unchanged = old is not MISSING and old is not None, same(value, old)
        before = value_of(self._schema, old, root=self._root) if present else None
        data = {"self": value_of(self._schema, value, root=self._root)}
        kind = self._schema.get("type", "")
        for rule in self._rules:
            if rule.uses_old and not present and not rule.optional:
                continue
            its = data | (old_values(before, present=present) if rule.optional else {"oldSelf": before})
            try:
                if rule.program.run(its) is True:
                    continue
            except BudgetError:
                raise  # no further rule is run
            except EvaluationError as error:
                words = f"{error} evaluating rule: {rule.named}"
                if str(error) == "no such overload":
                    words = (
                        "'no such overload': call arguments did not match a supported operator, function or macro "
                        f"signature for rule: {rule.named}"
                    )
                yield FieldError.invalid(path or "<nil>", kind, words)
                continue
            if unchanged and not rule.uses_old:
                continue  # the value has not changed, and need not satisfy a rule that was added since (ratcheting)
            yield self._broken(rule, its, kind, path)

    def _broken(self, rule: _Rule, data: dict[str, Any], kind: str, path: str) -> FieldError:
        detail = _told(rule, data) or rule.message or f"failed rule: {rule.text}"
        at = ".".join(filter(None, (path, rule.place))) or "<nil>"
        if rule.reason == "FieldValueDuplicate":
            return FieldError.duplicate(at, kind)
        if rule.reason in ("FieldValueForbidden", "FieldValueRequired"):
            return FieldError(rule.reason, at, detail, "")
        return FieldError.invalid(at, kind, detail)


def _told(rule: _Rule, data: dict[str, Any]) -> str:
    """Return the result of the rule's messageExpression, "" if it is no text of one line and moderate length."""
    if rule.message_program is None:
        return ""
    try:
        told = rule.message_program.run(data)
    except EvaluationError:
        return ""
    if rule.optional:
        told = told[0]
    text = told.strip() if isinstance(told, str) else ""
    return "" if "\n" in text or len(text.encode()) > _MOST_MESSAGE_BYTES else text
