"""Check the rules (``x-kubernetes-validations``) in a definition's schemas: that they compile, and to a boolean.

Upstream: ValidateCustomResourceDefinitionOpenAPISchema, apiextensions-apiserver validation.go. Upstream also estimates
what a rule costs at most. This does not: a rule that takes too long is stopped when it runs.
"""

from __future__ import annotations

from apiserver.crdschema import fieldpath
from apiserver.crdschema.celprogram import Checker, CompileError, Program, WrongTypeError
from apiserver.crdschema.celtypes import Types
from apiserver.crdschema.structural import EMBEDDED, LIST_TYPE, MAP_TYPE, RULES, Errors, Schema, below
from apiserver.model import checks
from machinery.errors import FieldError
from machinery.objects import Object

REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")


def check_rules(path: str, schema: Schema) -> Errors:
    """Yield everything that is wrong with the rules in a schema that is valid otherwise."""
    yield from _check(path, schema, root=True, no_old="")


def _check(path: str, schema: Schema, *, root: bool, no_old: str) -> Errors:
    rules = schema.get(RULES) or ()
    for index, rule in enumerate(rules):
        yield from _check_text(f"{path}.{RULES}[{index}]", rule, schema)
    if rules:
        checker = Checker(Types(schema, root=root or bool(schema.get(EMBEDDED))))
        for index, rule in enumerate(rules):
            yield from _compile(f"{path}.{RULES}[{index}]", rule, checker, no_old)
    inside = path if schema.get(MAP_TYPE) == "atomic" else no_old
    for name, child in (schema.get("properties") or {}).items():
        yield from _check(f"{path}.properties[{name}]", child, root=False, no_old=inside)
    additional, items = below(schema, "additionalProperties"), below(schema, "items")
    if additional is not None:
        yield from _check(f"{path}.additionalProperties", additional, root=False, no_old=inside)
    if items is not None:
        inside = no_old if schema.get(LIST_TYPE) == "map" else path
        yield from _check(f"{path}.items", items, root=False, no_old=inside)


def _check_text(path: str, rule: Object, schema: Schema) -> Errors:
    text, message, expression = (rule.get(part) or "" for part in ("rule", "message", "messageExpression"))
    if not text.strip():
        yield FieldError.required(f"{path}.rule", "rule is not specified")
    elif message and not message.strip():
        yield FieldError.invalid(f"{path}.message", message, "message must be non-empty if specified")
    elif "\n" in message.strip():
        yield FieldError.invalid(f"{path}.message", message, "message must not contain line breaks")
    elif "\n" in text.strip() and not message.strip():
        yield FieldError.required(f"{path}.message", "message must be specified if rule contains line breaks")
    if expression and not expression.strip():
        yield FieldError.required(f"{path}.messageExpression", "messageExpression must be non-empty if specified")
    place = rule.get("fieldPath") or ""
    yield from checks.supported(f"{path}.reason", rule.get("reason"), REASONS)
    if place and not place.strip():
        yield FieldError.invalid(f"{path}.fieldPath", place, "fieldPath must be non-empty if specified")
    if "\n" in place:
        yield FieldError.invalid(f"{path}.fieldPath", place, "fieldPath must not contain line breaks")
    elif place:
        try:
            fieldpath.find(place, schema)
        except ValueError as error:
            yield FieldError.invalid(f"{path}.fieldPath", place, f"fieldPath must be a valid path: {error}")


def _compile(path: str, rule: Object, checker: Checker, no_old: str) -> Errors:
    optional, text = bool(rule.get("optionalOldSelf")), rule.get("rule") or ""
    if not text.strip():
        return
    try:
        checker.check(text, "BOOL", optional=optional)
        program = Program(text, optional=optional)
    except WrongTypeError as error:
        yield FieldError.invalid(f"{path}.rule", rule, str(error))
        return
    except CompileError as error:
        yield FieldError.invalid(f"{path}.rule", rule, f"compilation failed: {error}")
        return
    if program.uses_old and no_old:
        why = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {no_old}"
        yield FieldError.invalid(f"{path}.rule", text, why)
    elif not program.uses_old and "optionalOldSelf" in rule:
        why = "may not be set if oldSelf is not used in rule"
        yield FieldError.invalid(f"{path}.optionalOldSelf", rule["optionalOldSelf"], why)
    if expression := rule.get("messageExpression"):
        try:
            checker.check(expression, "STRING", optional=optional)
            Program(expression, optional=optional, macro="map")
        except WrongTypeError:
            why = "messageExpression must evaluate to a string"
            yield FieldError.invalid(f"{path}.messageExpression", rule, why)
        except CompileError as error:
            why = f"messageExpression compilation failed: {error}"
            yield FieldError.invalid(f"{path}.messageExpression", rule, why)
