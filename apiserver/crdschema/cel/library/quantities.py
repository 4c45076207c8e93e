"""Quantities (upstream: apiserver pkg/cel/library/quantity.go)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from apiserver.crdschema.cel import types
from apiserver.crdschema.cel.declarations import Function, functions, overload
from apiserver.crdschema.cel.values import INT_MAX, INT_MIN, EvaluationError, Opaque
from machinery import quantity

_TYPE = types.object_type("kubernetes.Quantity")
_MOST_CHARACTERS = 100


class Quantity(Opaque):
    """An amount; how it is written does not matter."""

    type = _TYPE

    def __init__(self, amount: Decimal) -> None:
        self.amount = amount

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.amount == other.amount

    __hash__ = None  # type: ignore[assignment]


def _parse(text: str) -> Quantity:
    if len(text) > _MOST_CHARACTERS:
        # machinery's parser is made for fields, whose texts are short.
        raise EvaluationError("quantities must match the regular expression " + _PATTERN)
    try:
        return Quantity(quantity.parse(text))
    except (ValueError, ArithmeticError) as error:
        raise EvaluationError(str(error)) from None


_PATTERN = "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


def _is_quantity(text: str) -> bool:
    try:
        _parse(text)
    except EvaluationError:
        return False
    return True


def _is_integer(value: Quantity) -> bool:
    return value.amount == value.amount.to_integral_value() and INT_MIN <= value.amount <= INT_MAX


def _as_integer(value: Quantity) -> int:
    if not _is_integer(value):
        raise EvaluationError("cannot convert value to integer")
    return int(value.amount)


def _compare(value: Quantity, other: Quantity) -> int:
    return (value.amount > other.amount) - (value.amount < other.amount)


def _joined(sign: int) -> Callable[[Quantity, Any], Quantity]:
    def call(value: Quantity, other: Any) -> Quantity:
        amount = Decimal(other) if isinstance(other, int) else other.amount
        return Quantity(value.amount + sign * amount)

    return call


_Q = _TYPE.name
QUANTITIES: list[Function] = functions(
    ("quantity", [overload("string_to_quantity", f"(string) -> {_Q}", _parse)]),
    ("isQuantity", [overload("is_quantity_string", "(string) -> bool", _is_quantity)]),
    ("sign", [overload("quantity_sign", f"{_Q}.() -> int", lambda value: _compare(value, Quantity(Decimal(0))))]),
    (
        "isGreaterThan",
        [overload("quantity_is_greater_than", f"{_Q}.({_Q}) -> bool", lambda a, b: a.amount > b.amount)],
    ),
    ("isLessThan", [overload("quantity_is_less_than", f"{_Q}.({_Q}) -> bool", lambda a, b: a.amount < b.amount)]),
    ("compareTo", [overload("quantity_compare_to", f"{_Q}.({_Q}) -> int", _compare)]),
    (
        "asApproximateFloat",
        [overload("quantity_get_float", f"{_Q}.() -> double", lambda value: float(value.amount))],
    ),
    ("asInteger", [overload("quantity_get_int", f"{_Q}.() -> int", _as_integer)]),
    ("isInteger", [overload("quantity_is_integer", f"{_Q}.() -> bool", _is_integer)]),
    (
        "add",
        [
            overload("quantity_add", f"{_Q}.({_Q}) -> {_Q}", _joined(1)),
            overload("quantity_add_int", f"{_Q}.(int) -> {_Q}", _joined(1)),
        ],
    ),
    (
        "sub",
        [
            overload("quantity_sub", f"{_Q}.({_Q}) -> {_Q}", _joined(-1)),
            overload("quantity_sub_int", f"{_Q}.(int) -> {_Q}", _joined(-1)),
        ],
    ),
)
