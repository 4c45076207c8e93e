"""Whether a custom resource's values are what its schema allows, in the words of upstream's validator.

Upstream: kube-openapi pkg/validation/validate (an order of checks, of which a failing one does not end the others) and
apiextensions-apiserver pkg/apiserver/validation, which makes field errors of the results. On an update, what has not
changed is not complained about, so that a schema may become stricter than the objects that exist (ratcheting).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from apiserver.customresources import formats, regex
from apiserver.customresources.structural import INT_OR_STRING, LIST_KEYS, LIST_TYPE, MAP_TYPE, Schema, below
from machinery.errors import FieldError, quote

MISSING = object()
# Upstream's errors about junctors stand at no field.
_NOWHERE = "<nil>"


def check_values(schema: Schema, value: Any, old: Any = MISSING, path: str = "") -> list[FieldError]:
    """Everything wrong with a value; ``old`` is what stood there before, for an update."""
    return _Check().errors(schema, value, old, path)[0]


def same(value: Any, old: Any) -> bool:
    """Whether a value has not changed, with 1, 1.0 and true told apart."""
    if old is MISSING or value != old:
        return False
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS) == orjson.dumps(old, option=orjson.OPT_SORT_KEYS)


def child_of(schema: Schema, old: Any, key: str) -> Any:
    """What a field was before; an atomic map's fields cannot be compared one by one."""
    if type(old) is not dict or schema.get(MAP_TYPE) == "atomic":
        return MISSING
    return old.get(key, MISSING)


def element_finder(schema: Schema, old: Any) -> Callable[[Any], Any]:
    """Finds what an element of a list was before, which only those of list maps tell."""
    keys = schema.get(LIST_KEYS) or ()
    if type(old) is not list or schema.get(LIST_TYPE) != "map":
        return lambda element: MISSING

    def identity(element: Any) -> Any:
        return orjson.dumps([element.get(key) for key in keys]) if type(element) is dict else None

    known = {identity(element): element for element in old if type(element) is dict}
    return lambda element: known.get(identity(element), MISSING)


class _Check:
    """One validation. Every method returns its errors with the number of checks passed, by which ``anyOf`` chooses."""

    def errors(self, schema: Schema, value: Any, old: Any, path: str) -> tuple[list[FieldError], int]:
        """All errors about one value."""
        if same(value, old):
            return [], 1
        found: list[FieldError] = []
        matches = 2
        wrong_type = _type_error(schema, value, path)
        if wrong_type is not None:
            found.append(wrong_type)
            matches -= 1
        if value is None:
            return [*found, *_enum(schema, value, path)], matches
        junctors, passed = self._junctors(schema, value, old, path)
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
                more, passed = self._list(schema, value, old, path)
                found += more
                matches += passed
        found += _enum(schema, value, path)
        if type(value) is dict:
            more, passed = self._object(schema, value, old, path)
            found += more
            matches += passed
        return found, matches

    def _junctors(self, schema: Schema, value: Any, old: Any, path: str) -> tuple[list[FieldError], int]:
        found: list[FieldError] = []
        matches = 0
        for junctor in ("anyOf", "oneOf"):
            choices = schema.get(junctor)
            if not choices:
                continue
            results = [self.errors(choice, value, MISSING, path) for choice in choices]
            valid = sum(not errors for errors, _ in results)
            best = max(results, key=lambda result: result[1])
            if junctor == "anyOf" and not valid:
                found += [_nowhere(f"{quote(path)} must validate at least one schema (anyOf)"), *best[0]]
            if junctor == "oneOf" and valid != 1:
                how = f"Found {valid} valid alternatives" if valid else "Found none valid"
                found.append(_nowhere(f"{quote(path)} must validate one and only one schema (oneOf). {how}"))
                found += best[0] if not valid else []
            matches += best[1] if not valid else 1
        choices = schema.get("allOf") or ()
        results = [self.errors(choice, value, MISSING, path) for choice in choices]
        for errors, passed in results:
            found += errors
            matches += passed
        if any(errors for errors, _ in results):
            none = "" if any(not errors for errors, _ in results) else ". None validated"
            found.append(_nowhere(f"{quote(path)} must validate all the schemas (allOf){none}"))
        if schema.get("not") is not None and not self.errors(schema["not"], value, MISSING, path)[0]:
            found.append(_nowhere(f"{quote(path)} must not validate the schema (not)"))
        return found, matches

    def _list(self, schema: Schema, value: list[Any], old: Any, path: str) -> tuple[list[FieldError], int]:
        found: list[FieldError] = []
        matches = 1
        items = below(schema, "items")
        if items is not None:
            before = element_finder(schema, old)
            for index, element in enumerate(value):
                more, passed = self.errors(items, element, before(element), f"{path}[{index}]")
                found += more
                matches += passed
        least, most = schema.get("minItems"), schema.get("maxItems")
        if least is not None and len(value) < least:
            why = f"{path} in body should have at least {least} items"
            found.append(FieldError.invalid(path, len(value), why))
        if most is not None and len(value) > most:
            found.append(FieldError.too_many(path, len(value), most))
        return found, matches

    def _object(self, schema: Schema, value: dict[str, Any], old: Any, path: str) -> tuple[list[FieldError], int]:
        least, most = schema.get("minProperties"), schema.get("maxProperties")
        if least is not None and len(value) < least:
            why = f"{path} in body should have at least {least} properties"
            return [FieldError.invalid(path, len(value), why)], 0
        if most is not None and len(value) > most:
            return [FieldError.too_many(path, len(value), most)], 0
        found: list[FieldError] = []
        matches = 1
        properties, additional = schema.get("properties") or {}, below(schema, "additionalProperties")
        for key, child in value.items():
            inner = properties.get(key, additional)
            if inner is not None:
                at = f"{path}.{key}" if path else key
                more, passed = self.errors(inner, child, child_of(schema, old, key), at)
                found += more
                matches += passed
        for key in schema.get("required") or ():
            if key not in value:
                found.append(FieldError.required(f"{path}.{key}" if path else key))
        return found, matches


def _nowhere(why: str) -> FieldError:
    return FieldError.invalid(_NOWHERE, "", why)


def _types(schema: Schema) -> tuple[str, ...]:
    if schema.get(INT_OR_STRING):
        return ("integer", "string")
    return (schema["type"],) if schema.get("type") else ()


def _kind(value: Any) -> tuple[str, str]:
    """What a value is called in OpenAPI, and the format that goes with it in Go."""
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
    expected = schema.get("format", "") if schema.get("format") in formats.KNOWN else ""
    whole = isinstance(value, float) and value.is_integer() and "integer" in types
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
    return bool(value == choice) and isinstance(value, bool) == isinstance(choice, bool)


def _string(schema: Schema, value: str, path: str) -> Iterator[FieldError]:
    yield from _length(schema, value, path)
    name = schema.get("format") or ""
    if name in formats.KNOWN and not formats.KNOWN[name](value):
        yield FieldError(
            "FieldValueTypeInvalid", path, f"{path} in body must be of type {name}: {quote(value)}", value
        )  # fmt: skip


def _length(schema: Schema, value: str, path: str) -> Iterator[FieldError]:
    """Only the first of these is told of."""
    least, most, pattern = schema.get("minLength"), schema.get("maxLength"), schema.get("pattern")
    if most is not None and len(value) > most:
        yield FieldError.too_long(path, most)
    elif least is not None and len(value) < least:
        yield FieldError.invalid(path, value, f"{path} in body should be at least {least} chars long")
    elif pattern and not regex.compiled(pattern).search(value):
        yield FieldError.invalid(path, value, f"{path} in body should match '{pattern}'")


def _number(schema: Schema, value: float, path: str) -> Iterator[FieldError]:
    factor, least, most = schema.get("multipleOf"), schema.get("minimum"), schema.get("maximum")
    if factor and not _is_multiple(value, factor):
        yield FieldError.invalid(path, value, f"{path} in body should be a multiple of {shown(factor)}")
    if least is not None:
        exclusive = schema.get("exclusiveMinimum")
        if value < least or (exclusive and value == least):
            than = "greater than" if exclusive else "greater than or equal to"
            yield FieldError.invalid(path, value, f"{path} in body should be {than} {shown(least)}")
    if most is not None:
        exclusive = schema.get("exclusiveMaximum")
        if value > most or (exclusive and value == most):
            than = "less than" if exclusive else "less than or equal to"
            yield FieldError.invalid(path, value, f"{path} in body should be {than} {shown(most)}")


def _is_multiple(value: float, factor: float) -> bool:
    return float(value / factor).is_integer()


def shown(number: float) -> str:
    """A number as Go's ``%v`` prints a float64."""
    if number == int(number) and abs(number) < 1e21:
        return str(int(number))
    return repr(number)
