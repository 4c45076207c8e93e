"""The macros, which look like functions but are expanded to comprehensions while parsing.

Those of the language (has, all, exists, exists_one, map, filter) and of optional values (optMap, optFlatMap). Upstream:
cel-go parser/macro.go and cel/library.go. Comprehensions with two variables, which v1.32 already understands in what is
stored, are accepted in new rules from v1.33 on, and so not here.
"""

from __future__ import annotations

from collections.abc import Callable

from apiserver.crdschema.cel.ast import Call, Comprehension, Ident, ListNode, Literal, Node, Select

ACCUMULATOR = "__result__"
UNUSED = "#unused"


class MacroFault(ValueError):
    """A macro with arguments that it cannot have."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message


def expanded(call: Call) -> Node:
    """Return what the call stands for: its expansion if it is a macro, or itself."""
    expand = _MACROS.get((call.function, call.target is not None, len(call.args)))
    return call if expand is None else expand(call)


def _has(call: Call) -> Node:
    [argument] = call.args
    if not isinstance(argument, Select) or argument.test:
        raise MacroFault(argument.offset, "invalid argument to has() macro")
    return Select(call.offset, argument.operand, argument.field, test=True)


def _variable(node: Node, message: str = "argument must be a simple name") -> str:
    if not isinstance(node, Ident) or node.name.startswith("."):
        raise MacroFault(node.offset, message)
    if node.name == ACCUMULATOR:
        raise MacroFault(node.offset, f"iteration variable overwrites accumulator variable: {ACCUMULATOR}")
    return node.name


def _target(call: Call) -> Node:
    assert call.target is not None
    return call.target


def _loop(call: Call, init: Node, condition: Node | None, step: Node, result: Node) -> Node:
    variable = _variable(call.args[0])
    return Comprehension(call.offset, _target(call), variable, ACCUMULATOR, init, condition, step, result)


def _call(call: Call, function: str, *args: Node) -> Call:
    return Call(call.offset, function, None, list(args))


def _result(call: Call) -> Ident:
    return Ident(call.offset, ACCUMULATOR)


def _all(call: Call) -> Node:
    condition = _call(call, "@not_strictly_false", _result(call))
    step = _call(call, "_&&_", _result(call), call.args[-1])
    return _loop(call, Literal(call.offset, True, "bool"), condition, step, _result(call))


def _exists(call: Call) -> Node:
    condition = _call(call, "@not_strictly_false", _call(call, "!_", _result(call)))
    step = _call(call, "_||_", _result(call), call.args[-1])
    return _loop(call, Literal(call.offset, False, "bool"), condition, step, _result(call))


def _exists_one(call: Call) -> Node:
    one = Literal(call.offset, 1, "int")
    step = _call(call, "_?_:_", call.args[-1], _call(call, "_+_", _result(call), one), _result(call))
    result = _call(call, "_==_", _result(call), one)
    return _loop(call, Literal(call.offset, 0, "int"), None, step, result)


def _filtered(call: Call, step: Node, condition: Node | None) -> Node:
    return step if condition is None else _call(call, "_?_:_", condition, step, _result(call))


def _to_list(call: Call, element: Node, condition: Node | None) -> Node:
    step = _call(call, "_+_", _result(call), ListNode(call.offset, [element]))
    return _loop(call, ListNode(call.offset, []), None, _filtered(call, step, condition), _result(call))


def _map(call: Call) -> Node:
    return _to_list(call, call.args[-1], call.args[1] if len(call.args) == 3 else None)


def _filter(call: Call) -> Node:
    return _to_list(call, Ident(call.args[0].offset, _variable(call.args[0])), call.args[1])


def _opt_map(call: Call) -> Node:
    target, flat = _target(call), call.function == "optFlatMap"
    name = _variable(call.args[0], f"{call.function}() variable name must be a simple identifier")
    value = Call(call.offset, "value", target, [])
    bound = Comprehension(call.offset, None, UNUSED, name, value, None, Ident(call.offset, name), call.args[1])
    then = bound if flat else _call(call, "optional.of", bound)
    has = Call(call.offset, "hasValue", target, [])
    return _call(call, "_?_:_", has, then, _call(call, "optional.none"))


_MACROS: dict[tuple[str, bool, int], Callable[[Call], Node]] = {
    ("has", False, 1): _has,
    ("all", True, 2): _all,
    ("exists", True, 2): _exists,
    ("exists_one", True, 2): _exists_one,
    ("map", True, 2): _map,
    ("map", True, 3): _map,
    ("filter", True, 2): _filter,
    ("optMap", True, 2): _opt_map,
    ("optFlatMap", True, 2): _opt_map,
}
