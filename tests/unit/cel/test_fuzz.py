"""Expressions put together at random: they compile or not, and run or fail, but never by an error of this server."""

from __future__ import annotations

import random

from apiserver.crdschema.cel import types
from apiserver.crdschema.cel.environment import Environment
from apiserver.crdschema.cel.library import LIBRARIES
from apiserver.crdschema.cel.program import Clock, CostLimitError, TimeLimitError
from apiserver.crdschema.cel.source import CompileError
from apiserver.crdschema.cel.stdlib import OPTIONALS, STANDARD
from apiserver.crdschema.cel.types import Type
from apiserver.crdschema.cel.values import Duration, Invalid, Timestamp

FIELDS = {
    "i": types.INT,
    "s": types.STRING,
    "d": types.DOUBLE,
    "t": types.TIMESTAMP,
    "u": types.DURATION,
    "b": types.BYTES,
    "a": types.DYN,
    "l": types.list_of(types.STRING),
    "n": types.list_of(types.INT),
    "z": types.list_of(types.DURATION),
    "m": types.map_of(types.STRING, types.INT),
    "x": types.INT,
    "y": types.STRING,
}
BAD = Invalid("not what the schema says")
VALUES = {
    "i": 3, "s": "h\u00e9llo", "d": 1.5, "t": Timestamp(10**18), "u": Duration(10**10), "b": b"ab\xff",
    "a": [1, "x", None, True, 1.5], "l": ["a", None, BAD], "n": [3, BAD, 1], "z": [Duration(1), None],
    "m": {"a": 1, "b": BAD}, "x": BAD, "y": BAD,
}  # fmt: off
ATOMS = (
    *(f"self.{name}" for name in FIELDS),
    *(
        "1",
        "-5",
        "2u",
        "1.5",
        "'a'",
        "'10.0.0.0/8'",
        "'http://a/b?c=d'",
        "'1Gi'",
        "''",
        "b'x'",
        "null",
        "true",
        "[]",
        "{}",
    ),
    *("[1, 2]", "['a']", "{'a': 1}", "duration('1h')", "timestamp('2020-01-01T00:00:00Z')", "ip('1.2.3.4')", "int"),
    *(
        "cidr('1.0.0.0/8')",
        "quantity('1')",
        "url('/a')",
        "optional.none()",
        "optional.of(1)",
        "format.uri()",
        "'%s %d'",
    ),
)
FUNCTIONS = [
    function.name for group in (STANDARD, OPTIONALS, *LIBRARIES) for function in group if function.name[0].isalpha()
]
OPERATORS = ("+", "-", "*", "/", "%", "==", "!=", "<", ">=", "in", "&&", "||")
MACROS = ("all", "exists", "exists_one", "map", "filter", "optMap", "optFlatMap")


FORMS = (
    *(
        "{0}",
        "{0}",
        "({0} {2} {1})",
        "({0} ? {1} : {1})",
        "{0}[{3}{1}]",
        "{0}.{3}a",
        "[{3}{0}, {1}]",
        "{{{3}{0}: {1}}}",
    ),
    *("{0}.{4}(v, {1})", "{0}.{4}(v, v)", "{5}({6})", "{0}.{5}({6})", "dyn({0}).{5}({6})"),
)


class Fields:
    """The fields of self."""

    def field_type(self, name: str, field: str) -> Type | None:
        return FIELDS.get(field)


def expression(dice: random.Random, depth: int) -> str:
    """Return an expression that is seldom deep."""

    def inner() -> str:
        return expression(dice, depth - 1)

    optional, name = dice.choice(("", "?")), dice.choice(FUNCTIONS)
    if depth == 0:
        return dice.choice(ATOMS)
    arguments = ", ".join(inner() for _ in range(dice.randrange(3)))
    form = dice.choice(FORMS)
    return form.format(inner(), inner(), dice.choice(OPERATORS), optional, dice.choice(MACROS), name, arguments)


def test_no_expression_breaks_the_server() -> None:
    dice, environment = random.Random(2026), Environment({"self": types.object_type("self")}, Fields())
    compiled = 0
    for _ in range(4_000):
        text = expression(dice, dice.randint(1, 3))
        try:
            found = environment.compile(text)
            program = found.program()
        except CompileError:
            continue
        compiled += 1
        assert found.cost(lambda path: 5) >= 0
        try:
            program.run({"self": VALUES}, limit=100_000, clock=Clock(1))
        except (CostLimitError, TimeLimitError):
            continue
    assert compiled > 300
