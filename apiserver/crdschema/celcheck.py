"""Check the rules (``x-kubernetes-validations``) in a definition's schemas: texts, types, correlation and costs.

Upstream: ValidateCustomResourceDefinitionOpenAPISchema, apiextensions-apiserver validation.go and cel_validation.go.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace

from apiserver.crdschema import fieldpath
from apiserver.crdschema.cel.estimates import MOST
from apiserver.crdschema.celrule import CompiledRule, RuleCompiler
from apiserver.crdschema.celrules import Rules, Run, joined
from apiserver.crdschema.celtypes import Declaration, declaration, escape
from apiserver.crdschema.structural import EMBEDDED, LIST_TYPE, RULES, Errors, Schema, below
from apiserver.model import checks
from machinery.errors import FieldError, GoValue, quote
from machinery.objects import Object

REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
MOST_RULE_COST, MOST_TOTAL_COST = 10_000_000, 100_000_000
_MOST_NAMED = 4
_ADVICE = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
    "declared)"
)
_CONTRIBUTED = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
_NO_TYPE = (
    "internal error: failed to construct type information for x-kubernetes-validations rules: "
    "unable to convert structural schema to CEL declarations"
)
_TOTAL = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"


@dataclass
class _Total:
    """What all rules of a schema cost at most, which are the most expensive, and all of them by their schemas' ids."""

    cost: int = 0
    expensive: list[tuple[int, str]] = field(default_factory=list)
    compiled: dict[int, list[CompiledRule]] = field(default_factory=dict)

    def add(self, path: str, cost: int) -> None:
        self.cost = min(MOST, self.cost + cost)
        if cost >= MOST_TOTAL_COST // 100:
            self.expensive.append((cost, path))


@dataclass(frozen=True)
class _Place:
    """A schema's surroundings.

    ``cardinality`` is how many such values an object has at most, None if there is no limit. ``uncorrelated`` is the
    path of the outermost list whose items have no known old value, "" outside of any.
    """

    path: str
    schema: Schema
    declared: Declaration | None
    cardinality: int | None = 1
    uncorrelated: str = ""
    root: bool = False

    def declaration(self) -> Declaration | None:
        """Return the schema's declaration. Schemas that no rule could name have none yet."""
        if self.declared is not None:
            return self.declared
        return declaration(self.schema, root=self.root or bool(self.schema.get(EMBEDDED)))

    def inside(self, part: str, schema: Schema, declared: Declaration | None) -> _Place:
        """Return the place of a schema directly inside."""
        factor = self._factor()
        cardinality = None if factor is None or self.cardinality is None else min(MOST, self.cardinality * factor)
        return _Place(f"{self.path}.{part}", schema, declared, cardinality, self.uncorrelated)

    def _factor(self) -> int | None:
        match self.schema.get("type"):
            case "object" if "additionalProperties" in self.schema:
                most = self.schema.get("maxProperties")
            case "array":
                most = self.schema.get("maxItems")
            case _:
                return 1
        return None if most is None else max(0, int(most))


def check_rules(path: str, schema: Schema) -> Errors:
    """Yield everything that is wrong with the rules in a schema that is valid otherwise."""
    total, faulty = _Total(), False
    for error in _check(_Place(path, schema, declaration(schema, root=True), root=True), total):
        faulty = True
        yield error
    if total.cost > MOST_TOTAL_COST:
        for _, at in sorted(total.expensive, key=lambda each: -each[0])[:_MOST_NAMED]:
            yield FieldError.forbidden(at, _CONTRIBUTED)
        yield FieldError.forbidden(path, _exceeded(_TOTAL, total.cost, MOST_TOTAL_COST))
    elif not faulty:
        rules = joined(schema, total.compiled, root=True)
        if rules is not None:
            yield from _check_defaults(path, schema, rules, Run())


def _check_defaults(path: str, schema: Schema, rules: Rules, run: Run) -> Errors:
    """Check that defaults do not break the rules that apply to them."""
    default = schema.get("default")
    if default is not None:
        yield from rules.check_default(default, f"{path}.default", run)
    for name, inner in rules.properties.items():
        yield from _check_defaults(f"{path}.properties[{name}]", schema["properties"][name], inner, run)
    if rules.items is not None:
        yield from _check_defaults(f"{path}.items", schema["items"], rules.items, run)


def _check(place: _Place, total: _Total) -> Generator[FieldError, None, bool]:
    """Check the rules of a schema and of those inside it. The generator's value is True if one is not well-formed."""
    schema, faulty = place.schema, False
    for inner in _inside(place):
        faulty |= yield from _check(inner, total)
    rules = schema.get(RULES) or ()
    for index, rule in enumerate(rules):
        for error in _text(f"{place.path}.{RULES}[{index}]", rule, schema):
            faulty = True
            yield error
    # As upstream, what contains a rule that is not well-formed is not compiled.
    if faulty or not rules:
        return faulty
    declared = place.declaration()
    if declared is None:
        yield FieldError("InternalError", f"{place.path}.{RULES}", _NO_TYPE)
        return faulty
    compiler = RuleCompiler(declared)
    found = total.compiled[id(schema)] = [compiler.compile(rule) for rule in rules]
    for index, (rule, compiled) in enumerate(zip(rules, found, strict=True)):
        yield from _compiled(f"{place.path}.{RULES}[{index}]", rule, compiled, place, declared, total)
    return faulty


def _inside(place: _Place) -> Iterator[_Place]:
    schema, declared = place.schema, place.declared
    for name, child in (schema.get("properties") or {}).items():
        its = declared.fields.get(escape(name)) if declared is not None else None
        yield place.inside(f"properties[{name}]", child, its)
    element = declared.element if declared is not None else None
    additional, items = below(schema, "additionalProperties"), below(schema, "items")
    if additional is not None:
        yield place.inside("additionalProperties", additional, element)
    if items is not None:
        inner = place.inside("items", items, element)
        # Items of sets are known by their values only, so that an item has no other old value.
        if schema.get(LIST_TYPE) != "map" and not place.uncorrelated:
            inner = replace(inner, uncorrelated=place.path)
        yield inner


def _text(path: str, rule: Object, schema: Schema) -> Errors:
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
    if place:
        try:
            fieldpath.find(place, schema)
        except ValueError as error:
            yield FieldError.invalid(f"{path}.fieldPath", place, f"fieldPath must be a valid path: {error}")


def _compiled(
    path: str, rule: Object, compiled: CompiledRule, place: _Place, declared: Declaration, total: _Total
) -> Errors:
    cardinality = declared.most_in_request if place.cardinality is None else place.cardinality
    cost = min(MOST, compiled.cost * cardinality)
    if cost > MOST_RULE_COST:
        yield FieldError.forbidden(f"{path}.rule", _exceeded("estimated rule cost", cost, MOST_RULE_COST))
    total.add(f"{path}.rule", cost)
    if compiled.error:
        yield FieldError.invalid(f"{path}.rule", _go_rule(rule), compiled.error)
    if compiled.message_error:
        yield FieldError.invalid(f"{path}.messageExpression", _go_rule(rule), compiled.message_error)
    elif compiled.message is not None:
        if compiled.message_cost > MOST_RULE_COST:
            why = _exceeded("estimated messageExpression cost", compiled.message_cost, MOST_RULE_COST)
            yield FieldError.forbidden(f"{path}.messageExpression", why)
        total.add(f"{path}.messageExpression", compiled.message_cost)
    if compiled.uses_old:
        if place.uncorrelated:
            why = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {place.uncorrelated}"
            yield FieldError.invalid(f"{path}.rule", rule.get("rule") or "", why)
    elif rule.get("optionalOldSelf") is not None:
        why = "may not be set if oldSelf is not used in rule"
        yield FieldError.invalid(f"{path}.optionalOldSelf", rule["optionalOldSelf"], why)


def _exceeded(what: str, cost: int, limit: int) -> str:
    factor = cost / limit
    if factor > 100:
        shown = "more than 100x"
    else:
        # A factor that would be rounded to 1.0 is told exactly.
        shown = f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    return f"{what} exceeds budget by factor of {shown} {_ADVICE}"


def _go_rule(rule: Object) -> GoValue:
    """Return a rule as Go's ``%#v`` prints it."""
    reason, optional = rule.get("reason"), rule.get("optionalOldSelf")
    pointers = {
        "Reason": "(*apiextensions.FieldValueErrorReason)" + ("(nil)" if reason is None else f"({quote(reason)})"),
        "OptionalOldSelf": "(*bool)" + ("(nil)" if optional is None else f"({str(optional).lower()})"),
    }
    texts = {name: quote(rule.get(name[:1].lower() + name[1:]) or "")
             for name in ("Rule", "Message", "MessageExpression", "FieldPath")}  # fmt: off
    shown = texts | pointers
    order = ("Rule", "Message", "MessageExpression", "Reason", "FieldPath", "OptionalOldSelf")
    return GoValue(f"apiextensions.ValidationRule{{{', '.join(f'{name}:{shown[name]}' for name in order)}}}")
