"""Check the values of a custom resource against its schema, with the texts of upstream's validator.

All errors are reported, in upstream's order. On an update, a value that has not changed is not checked, so that a
definition may become stricter than the objects that exist (upstream: CRDValidationRatcheting). Upstream: kube-openapi
pkg/validation/validate, and apiextensions-apiserver pkg/apiserver/validation, which turns results into field errors.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from apiserver.crdschema import formats, numbers, regex
from apiserver.crdschema.structural import INT_OR_STRING, JUNCTORS, LIST_KEYS, LIST_TYPE, MAP_TYPE, Schema, below
from machinery.errors import FieldError, quote

MISSING = object()
# The field of errors about junctors, which upstream reports without one.
_NOWHERE = "<nil>"


def check_values(schema: Schema, value: Any, old: Any = MISSING, path: str = "") -> list[FieldError]:
    """Return everything that is wrong with a value; on an update, ``old`` is the value that was there before."""
    return Values(schema).check(value, old, path)


def same(value: Any, old: Any) -> bool:
    """Return True if a value has not changed; unlike for Python, 1, 1.0 and true are different values."""
    if old is MISSING or value != old:
        return False
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS) == orjson.dumps(old, option=orjson.OPT_SORT_KEYS)


def child_of(schema: Schema, old: Any, key: str) -> Any:
    """Return the old value of a field, MISSING for fields of atomic maps, which are only compared as a whole."""
    if type(old) is not dict or schema.get(MAP_TYPE) == "atomic":
        return MISSING
    return old.get(key, MISSING)


def element_finder(schema: Schema, old: Any) -> Callable[[Any], Any]:
    """Return a function from an item to its old value. Only items of lists of type ``map`` can be recognized."""
    keys = schema.get(LIST_KEYS) or ()
    if type(old) is not list or schema.get(LIST_TYPE) != "map":
        return lambda element: MISSING

    def identity(element: Any) -> Any:
        return orjson.dumps([element.get(key) for key in keys]) if type(element) is dict else None

    known = {identity(element): element for element in old if type(element) is dict}
    return lambda element: known.get(identity(element), MISSING)


class Values:
    """A schema, compiled to check values.

    Each check returns the errors and the number of checks that passed, because an ``anyOf`` reports the errors of that
    schema which matched best.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        items, additional = below(schema, "items"), below(schema, "additionalProperties")
        self._items = Values(items) if items is not None else None
        self._additional = Values(additional) if additional is not None else None
        self._properties = {name: Values(child) for name, child in (schema.get("properties") or {}).items()}
        self._choices = {junctor: [Values(each) for each in schema.get(junctor) or ()] for junctor in JUNCTORS}
        self._not = Values(schema["not"]) if schema.get("not") is not None else None
        self._junctors = any(self._choices.values()) or self._not is not None
        self._required: tuple[str, ...] = tuple(schema.get("required") or ())
        # Values of the types in _right need no check of their type; those of the types in _plain need no check at all.
        self._right = frozenset(_right_types(schema))
        self._plain = () if self._junctors or schema.get("enum") else tuple(_unlimited(schema))

    def check(self, value: Any, old: Any = MISSING, path: str = "") -> list[FieldError]:
        """Return everything that is wrong with a value."""
        return self._errors(value, old, path)[0]

    def _errors(self, value: Any, old: Any, path: str) -> tuple[list[FieldError], int]:
        if old is not MISSING and same(value, old):
            return [], 1
        schema = self._schema
        found: list[FieldError] = []
        matches = 2
        wrong_type = None if type(value) in self._right else _type_error(schema, value, path)
        if wrong_type is not None:
            found.append(wrong_type)
            matches -= 1
        if value is None:
            return [*found, *_enum(schema, value, path)], matches
        if self._junctors:
            junctors, passed = self._check_junctors(value, path)
            found += junctors
            matches += passed
        match value:
            case str():
                found += _string(schema, value, path)
            case bool():
                pass
            case int() | float():
                found += _number(schema, value, path)
            case list():
                matches += self._check_list(value, old, path, found)
        found += _enum(schema, value, path)
        if type(value) is dict:
            matches += self._check_object(value, old, path, found)
        return found, matches

    def _check_junctors(self, value: Any, path: str) -> tuple[list[FieldError], int]:
        found: list[FieldError] = []
        matches = 0
        for junctor in ("anyOf", "oneOf"):
            choices = self._choices[junctor]
            if not choices:
                continue
            results = [choice._errors(value, MISSING, path) for choice in choices]
            valid = sum(not errors for errors, _ in results)
            best = max(results, key=lambda result: result[1])
            if junctor == "anyOf" and not valid:
                found += [_nowhere(f"{quote(path)} must validate at least one schema (anyOf)"), *best[0]]
            if junctor == "oneOf" and valid != 1:
                how = f"Found {valid} valid alternatives" if valid else "Found none valid"
                found.append(_nowhere(f"{quote(path)} must validate one and only one schema (oneOf). {how}"))
                found += best[0] if not valid else []
            matches += best[1] if not valid else 1
        results = [choice._errors(value, MISSING, path) for choice in self._choices["allOf"]]
        for errors, passed in results:
            found += errors
            matches += passed
        if any(errors for errors, _ in results):
            none = "" if any(not errors for errors, _ in results) else ". None validated"
            found.append(_nowhere(f"{quote(path)} must validate all the schemas (allOf){none}"))
        if self._not is not None and not self._not._errors(value, MISSING, path)[0]:
            found.append(_nowhere(f"{quote(path)} must not validate the schema (not)"))
        return found, matches

    def _check_list(self, value: list[Any], old: Any, path: str, found: list[FieldError]) -> int:
        items, matches = self._items, 1
        if items is not None:
            before = element_finder(self._schema, old)
            for index, element in enumerate(value):
                if type(element) in items._plain:
                    matches += 1
                    continue
                errors, passed = items._errors(element, before(element), f"{path}[{index}]")
                found += errors
                matches += passed
        least, most = self._schema.get("minItems"), self._schema.get("maxItems")
        if least is not None and len(value) < least:
            why = f"{path} in body should have at least {least} items"
            found.append(FieldError.invalid(path, len(value), why))
        if most is not None and len(value) > most:
            found.append(FieldError.too_many(path, len(value), most))
        return matches

    def _check_object(self, value: dict[str, Any], old: Any, path: str, found: list[FieldError]) -> int:
        least, most = self._schema.get("minProperties"), self._schema.get("maxProperties")
        if least is not None and len(value) < least:
            why = f"{path} in body should have at least {least} properties"
            found.append(FieldError.invalid(path, len(value), why))
            return 0
        if most is not None and len(value) > most:
            found.append(FieldError.too_many(path, len(value), most))
            return 0
        properties, additional, matches = self._properties, self._additional, 1
        for key, child in value.items():
            inner = properties.get(key, additional)
            if inner is None:
                continue
            if type(child) in inner._plain:
                matches += 1
                continue
            at = f"{path}.{key}" if path else key
            errors, passed = inner._errors(child, child_of(self._schema, old, key), at)
            found += errors
            matches += passed
        for key in self._required:
            if key not in value:
                found.append(FieldError.required(f"{path}.{key}" if path else key))
        return matches


def _right_types(schema: Schema) -> Iterator[type]:
    """Return the Python types of a schema's type."""
    names = {"string": str, "integer": int, "number": float, "boolean": bool, "array": list, "object": dict}
    return (names[name] for name in _types(schema) if name in names)


def _unlimited(schema: Schema) -> Iterator[type]:
    """Yield the Python types of which every value is valid."""
    for name in _types(schema):
        if name == "boolean":
            yield bool
        elif name in ("integer", "number") and not any(schema.get(key) is not None for key in _LIMITS_OF_NUMBERS):
            yield int
        elif name == "string" and not any(schema.get(key) is not None for key in _LIMITS_OF_STRINGS):
            yield str


_LIMITS_OF_NUMBERS = ("multipleOf", "minimum", "maximum")
_LIMITS_OF_STRINGS = ("minLength", "maxLength", "pattern", "format")


def _nowhere(why: str) -> FieldError:
    return FieldError.invalid(_NOWHERE, "", why)


def _types(schema: Schema) -> tuple[str, ...]:
    if schema.get(INT_OR_STRING):
        return ("integer", "string")
    return (schema["type"],) if schema.get("type") else ()


def _kind(value: Any) -> tuple[str, str]:
    """Return the OpenAPI type of a value, and the format that upstream's validator gives it."""
    match value:
        case bool():
            return "boolean", ""
        case int():
            return "integer", "int64"
        case float():
            return "number", "float64"
        case str():
            return "string", ""
        case list():
            return "array", ""
    return "object", ""


def _type_error(schema: Schema, value: Any, path: str) -> FieldError | None:
    types = _types(schema)
    if value is None:
        if not types or schema.get("nullable"):
            return None
        return _mismatch(path, ",".join(types), "null")
    kind, its_format = _kind(value)
    expected = schema.get("format") or "" if formats.known(schema.get("format") or "") else ""
    whole = kind == "number" and "integer" in types and numbers.is_whole(value)
    fits = kind in types or whole or (kind == "integer" and "number" in types)
    numeric = "number" in types or "integer" in types
    if expected and kind not in ("string", "array") and not fits and its_format != expected:
        return _mismatch(path, expected, its_format)
    if fits or not types or (expected and not numeric and kind in ("string", "array")):
        return None
    return _mismatch(path, ",".join(types), kind)


def _mismatch(path: str, wanted: str, found: str) -> FieldError:
    return FieldError("FieldValueTypeInvalid", path, f'{path} in body must be of type {wanted}: "{found}"', found)


def _enum(schema: Schema, value: Any, path: str) -> Iterator[FieldError]:
    choices = schema.get("enum")
    if choices and not any(_equal(value, choice) for choice in choices):
        shown = [choice if isinstance(choice, str) else orjson.dumps(choice).decode() for choice in choices]
        yield FieldError.not_supported(path, value, shown)


def _equal(value: Any, choice: Any) -> bool:
    if type(value) is int or type(value) is float:
        return numbers.equals_choice(value, choice)
    return same(value, choice)


def _string(schema: Schema, value: str, path: str) -> Iterator[FieldError]:
    yield from _length(schema, value, path)
    name = schema.get("format") or ""
    check = formats.known(name)
    if check is not None and not check(value):
        yield FieldError("FieldValueTypeInvalid", path, f"{path} in body must be of type {name}: {quote(value)}", value)


def _length(schema: Schema, value: str, path: str) -> Iterator[FieldError]:
    # As upstream, only the first error about a length or pattern is reported.
    least, most, pattern = schema.get("minLength"), schema.get("maxLength"), schema.get("pattern")
    if most is not None and len(value) > most:
        yield FieldError.too_long(path, most)
    elif least is not None and len(value) < least:
        yield FieldError.invalid(path, value, f"{path} in body should be at least {least} chars long")
    elif pattern and not regex.compiled(pattern).search(value):
        yield FieldError.invalid(path, value, f"{path} in body should match '{pattern}'")


def _number(schema: Schema, value: float, path: str) -> Iterator[FieldError]:
    factor = schema.get("multipleOf")
    if factor and not numbers.is_multiple(value, factor):
        yield FieldError.invalid(path, value, f"{path} in body should be a multiple of {shown(factor)}")
    for bound, beyond, than in (("Minimum", operator.lt, "greater than"), ("Maximum", operator.gt, "less than")):
        limit, exclusive = schema.get(bound.lower()), schema.get(f"exclusive{bound}")
        if limit is None:
            continue
        limit = numbers.bound(value, limit)
        if beyond(value, limit) or (exclusive and value == limit):
            than += "" if exclusive else " or equal to"
            yield FieldError.invalid(path, value, f"{path} in body should be {than} {shown(limit)}")


def shown(number: float) -> str:
    """Return a number as Go's ``%v`` prints a float64."""
    if number == int(number) and abs(number) < 1e21:
        return str(int(number))
    return repr(number)
