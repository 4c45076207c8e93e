"""Run a checked expression, and count what it costs (upstream: cel-go interpreter).

An expression is compiled to Python functions once, one for each of its nodes. They count their costs as they go, and
end the evaluation when it has cost too much or its time is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from apiserver.crdschema.cel import conversions, stdlib
from apiserver.crdschema.cel.ast import Call, Comprehension, Ident, ListNode, Literal, MapNode, Node, Select
from apiserver.crdschema.cel.charges import charge
from apiserver.crdschema.cel.checker import Checked, type_value
from apiserver.crdschema.cel.declarations import Overload, fits
from apiserver.crdschema.cel.estimates import LIST_COST, MAP_COST
from apiserver.crdschema.cel.values import NONE, EvaluationError, Invalid, Optional, from_key, keys, to_key, type_of

_NO_OVERLOAD = "no such overload"
_MISSING = object()


class CostLimitError(Exception):
    """An evaluation that cost more than it may."""


class TimeLimitError(Exception):
    """An evaluation that took longer than it may."""


class Clock:
    """The processor time, in seconds, that some evaluations may take together."""

    def __init__(self, seconds: float) -> None:
        self._end = time.thread_time() + seconds
        self._look = time.monotonic() + seconds

    def check(self) -> None:
        """Raise TimeLimitError if the time is over. The thread's own time is read only when it may be."""
        if time.monotonic() < self._look:
            return
        left = self._end - time.thread_time()
        if left <= 0:
            raise TimeLimitError
        self._look = time.monotonic() + left


class _Frame:
    """The state of one evaluation."""

    __slots__ = ("clock", "cost", "limit", "variables")

    def __init__(self, variables: dict[str, Any], limit: int, clock: Clock) -> None:
        self.variables = variables
        self.cost = 0
        self.limit = limit
        self.clock = clock

    def spend(self, cost: int) -> None:
        """Count a cost before what it is for is done."""
        self.cost += cost
        if self.cost > self.limit:
            raise CostLimitError


class _Failure:
    """An error that a comprehension carries along, because a later round may make it void."""

    def __init__(self, error: EvaluationError) -> None:
        self.error = error


_Run = Callable[[_Frame], Any]


class Program:
    """An expression that can be run."""

    def __init__(self, root: Node, checked: Checked) -> None:
        self._run = _Compiler(checked).compiled(root)

    def run(self, variables: Mapping[str, Any], *, limit: int, clock: Clock) -> tuple[Any, int]:
        """Return the result, which may be an EvaluationError, and its cost.

        Raises CostLimitError and TimeLimitError.
        """
        frame = _Frame(dict(variables), limit, clock)
        try:
            result = self._run(frame)
        except EvaluationError as error:
            result = error
        except RecursionError:
            result = EvaluationError("expression recursion limit exceeded")
        if frame.cost > limit:
            raise CostLimitError
        clock.check()
        return result, frame.cost


class _Compiler:
    def __init__(self, checked: Checked) -> None:
        self._checked = checked
        self._known: dict[Node, _Run] = {}

    def compiled(self, node: Node) -> _Run:
        """Return what evaluates a node."""
        run = self._known.get(node)
        if run is None:
            match node:
                case Literal():
                    run = _constant(node.value)
                case Ident() | Select() if node in self._checked.references:
                    run = _variable(self._checked.references[node])
                case Call():
                    run = self._call(node)
                case Select():
                    run = self._select(node)
                case ListNode():
                    run = self._list(node)
                case MapNode():
                    run = self._map(node)
                case Comprehension():
                    run = self._comprehension(node)
                case _:
                    raise AssertionError(node)
            self._known[node] = run
        return run

    def _select(self, node: Select) -> _Run:
        operand, name, test = self.compiled(node.operand), node.field, node.test

        def run(frame: _Frame) -> Any:
            value = operand(frame)
            if type(value) is Optional:
                found = _selected_optional(value, name)
                return found.present if test else found
            if not isinstance(value, dict):
                raise EvaluationError(_NO_OVERLOAD)
            if test:
                return name in value
            frame.cost += 1
            found = value.get(name, _MISSING)
            if found is _MISSING:
                raise EvaluationError(f"no such key: {name}")
            if type(found) is Invalid:
                raise found.error()
            return found

        return run

    def _list(self, node: ListNode) -> _Run:
        elements, optional = list(map(self.compiled, node.elements)), node.optional

        def run(frame: _Frame) -> Any:
            frame.cost += LIST_COST
            return [each(frame) for each in elements]

        def run_optional(frame: _Frame) -> Any:
            frame.cost += LIST_COST
            found = []
            for index, each in enumerate(elements):
                value = each(frame)
                if index not in optional:
                    found.append(value)
                elif _optional(value).present:
                    found.append(value.value)
            return found

        return run_optional if optional else run

    def _map(self, node: MapNode) -> _Run:
        entries = [(self.compiled(each.key), self.compiled(each.value), each.optional) for each in node.entries]

        def run(frame: _Frame) -> Any:
            frame.cost += MAP_COST
            found: dict[Any, Any] = {}
            for key_of, value_of, optional in entries:
                key, value = key_of(frame), value_of(frame)
                if not isinstance(key, (bool, int, str)):
                    raise EvaluationError(f"unsupported key type: {type_of(key).runtime_name}")
                key = to_key(key)
                if key in found:
                    raise EvaluationError(f"Failed with repeated key: {conversions.to_string(from_key(key))}")
                if not optional:
                    found[key] = value
                elif _optional(value).present:
                    found[key] = value.value
            return found

        return run

    def _call(self, node: Call) -> _Run:
        special = _SPECIAL.get(node.function)
        if special is not None and node not in self._checked.qualified:
            return special(*map(self.compiled, ([node.target] if node.target is not None else []) + node.args))
        name = self._checked.qualified.get(node, node.function.removeprefix("."))
        targets = [node.target] if node.target is not None and node not in self._checked.qualified else []
        nodes = [*targets, *node.args]
        parts = list(map(self.compiled, nodes))
        overloads = self._checked.overloads[node]
        dynamic = len(overloads) > 1 or any(_is_open(self._checked.types[each].kind) for each in nodes)
        return _dispatched(parts, name, overloads) if dynamic else _direct(parts, name, overloads[0])

    def _comprehension(self, node: Comprehension) -> _Run:
        if node.range is None:
            return self._binding(node)
        collected = self._collected(node)
        if collected is not None:
            return collected
        range_of, init, step = self.compiled(node.range), self.compiled(node.init), self.compiled(node.step)
        condition = None if node.condition is None else self._goes_on(node.condition)
        result, accumulator, variable = self.compiled(node.result), node.accumulator, node.variable
        names = (accumulator, variable)

        def run(frame: _Frame) -> Any:
            items = _items(range_of(frame))
            variables = frame.variables
            start = init(frame)
            outer = [variables.get(name, _MISSING) for name in names]
            variables[accumulator] = start
            try:
                for item in items:
                    frame.clock.check()
                    if frame.cost > frame.limit:
                        raise CostLimitError
                    variables[variable] = item
                    if condition is not None and not condition(frame):
                        break
                    try:
                        variables[accumulator] = step(frame)
                    except EvaluationError as error:
                        variables[accumulator] = _Failure(error)
                return result(frame)
            finally:
                _restore(variables, names, outer)

        return run

    def _goes_on(self, condition: Node) -> _Run:
        """Compile the condition of all() and exists(): the accumulator, or its negation, is not false, nor an error."""
        inner = condition
        assert isinstance(inner, Call)
        [accumulator] = inner.args
        negated = isinstance(accumulator, Call)
        name = accumulator.args[0] if isinstance(accumulator, Call) else accumulator
        assert isinstance(name, Ident)
        key, cost = name.name, 3 if negated else 2

        def run(frame: _Frame) -> Any:
            frame.cost += cost
            value = frame.variables[key]
            return isinstance(value, _Failure) or not isinstance(value, bool) or value is not negated

        return run

    def _binding(self, node: Comprehension) -> _Run:
        init, result, names = self.compiled(node.init), self.compiled(node.result), (node.accumulator,)

        def run(frame: _Frame) -> Any:
            # Such bindings, each of which evaluates its optional value twice, can be chained.
            frame.spend(0)
            frame.clock.check()
            variables, value = frame.variables, init(frame)
            outer = [variables.get(name, _MISSING) for name in names]
            variables[names[0]] = value
            try:
                return result(frame)
            finally:
                _restore(variables, names, outer)

        return run

    def _collected(self, node: Comprehension) -> _Run | None:
        """Compile a comprehension that only adds to a list, so that each round does not copy it."""
        step, condition = node.step, None
        if not isinstance(node.init, ListNode) or not isinstance(step, Call):
            return None
        if step.function == "_?_:_":
            condition, step = self.compiled(step.args[0]), step.args[1]
        assert node.range is not None and isinstance(step, Call)
        added = step.args[1]
        assert isinstance(added, ListNode)
        range_of, item_of, variable = self.compiled(node.range), self.compiled(added.elements[0]), node.variable

        def run(frame: _Frame) -> Any:
            items = _items(range_of(frame))
            frame.cost += LIST_COST
            found: list[Any] = []
            variables = frame.variables
            outer = variables.get(variable, _MISSING)
            try:
                for item in items:
                    frame.clock.check()
                    variables[variable] = item
                    if condition is not None and condition(frame) is not True:
                        frame.spend(1)
                        continue
                    # The accumulator, the list of one element and the addition, which are not evaluated as such.
                    frame.spend(2 + LIST_COST)
                    found.append(item_of(frame))
            finally:
                _restore(variables, (variable,), (outer,))
            frame.cost += 1
            return found

        return run


def _restore(variables: dict[str, Any], names: Sequence[str], values: Sequence[Any]) -> None:
    for name, value in zip(names, values, strict=True):
        if value is _MISSING:
            variables.pop(name, None)
        else:
            variables[name] = value


def _items(value: Any) -> Any:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return keys(value)
    raise EvaluationError(_NO_OVERLOAD)


def _optional(value: Any) -> Optional:
    if not isinstance(value, Optional):
        raise EvaluationError("cannot initialize optional entry from non-optional value")
    return value


def _is_open(kind: str) -> bool:
    return kind in ("dyn", "error", "param")


def _constant(value: Any) -> _Run:
    return lambda frame: value


def _variable(name: str) -> _Run:
    constant = type_value(name)

    def run(frame: _Frame) -> Any:
        frame.cost += 1
        value = frame.variables.get(name, _MISSING)
        if value is _MISSING:
            if constant is not None:
                return constant
            raise EvaluationError(f"no such attribute(s): {name}")
        if type(value) is _Failure:
            raise value.error
        if type(value) is Invalid:
            raise value.error()
        return value

    return run


def _selected_optional(value: Optional, name: str) -> Optional:
    if not value.present:
        return NONE
    if not isinstance(value.value, dict):
        raise EvaluationError(_NO_OVERLOAD)
    return stdlib.lookup(value.value, name)


def _guarded(call: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse nulls where the types promise other values.

    Items of lists and maps can be nullable, which their types do not tell.
    """

    def guarded(*values: Any) -> Any:
        try:
            return call(*values)
        except (AttributeError, TypeError):
            raise EvaluationError(_NO_OVERLOAD) from None

    return guarded


def _direct(parts: Sequence[_Run], name: str, overload: Overload) -> _Run:
    """Call an overload that the types have already decided on."""
    call, its_charge = _guarded(overload.call), charge(name, overload.id)
    if its_charge is not None:

        def run_charged(frame: _Frame) -> Any:
            values = [part(frame) for part in parts]
            frame.spend(its_charge(values))
            return call(*values)

        return run_charged
    if len(parts) == 1:
        [only] = parts

        def run_unary(frame: _Frame) -> Any:
            value = only(frame)
            frame.cost += 1
            return call(value)

        return run_unary
    if len(parts) == 2:
        left, right = parts

        def run_binary(frame: _Frame) -> Any:
            one = left(frame)
            other = right(frame)
            frame.cost += 1
            return call(one, other)

        return run_binary

    def run(frame: _Frame) -> Any:
        values = [part(frame) for part in parts]
        frame.cost += 1
        return call(*values)

    return run


def _dispatched(parts: Sequence[_Run], name: str, overloads: Sequence[Overload]) -> _Run:
    """Call the overload that fits the values."""
    choices = [(each.params, _guarded(each.call), charge(name, each.id)) for each in overloads]

    def run(frame: _Frame) -> Any:
        values = [part(frame) for part in parts]
        for params, call, its_charge in choices:
            if all(map(fits, params, values)):
                frame.spend(1 if its_charge is None else its_charge(values))
                return call(*values)
        raise EvaluationError(_NO_OVERLOAD)

    return run


def _conjunction(left: _Run, right: _Run) -> _Run:
    return _junction(left, right, stop=False)


def _disjunction(left: _Run, right: _Run) -> _Run:
    return _junction(left, right, stop=True)


def _junction(left: _Run, right: _Run, *, stop: bool) -> _Run:
    """Return ``stop`` if either side is it, whether or not the other is an error."""

    def run(frame: _Frame) -> Any:
        error: EvaluationError | None = None
        try:
            one = left(frame)
            if one is stop:
                return stop
            if not isinstance(one, bool):
                error = EvaluationError(_NO_OVERLOAD)
        except EvaluationError as failure:
            error = failure
        try:
            other = right(frame)
        except EvaluationError as failure:
            raise error or failure from None
        if other is stop:
            return stop
        if error is not None:
            raise error
        if not isinstance(other, bool):
            raise EvaluationError(_NO_OVERLOAD)
        return not stop

    return run


def _conditional(test: _Run, then: _Run, otherwise: _Run) -> _Run:
    def run(frame: _Frame) -> Any:
        value = test(frame)
        if not isinstance(value, bool):
            raise EvaluationError(_NO_OVERLOAD)
        return then(frame) if value else otherwise(frame)

    return run


def _optional_select(operand: _Run, field: _Run) -> _Run:
    def run(frame: _Frame) -> Any:
        value, name = operand(frame), field(frame)
        frame.cost += 1
        return _selected_optional(value if type(value) is Optional else Optional(value, present=True), name)

    return run


def _or(target: _Run, other: _Run, chosen: Callable[[Optional], Any] = lambda value: value) -> _Run:
    """Return ``chosen`` of an optional that is present, else what ``other`` gives."""

    def run(frame: _Frame) -> Any:
        value = target(frame)
        frame.cost += 1
        if not isinstance(value, Optional):
            raise EvaluationError(_NO_OVERLOAD)
        return chosen(value) if value.present else other(frame)

    return run


def _or_value(target: _Run, other: _Run) -> _Run:
    return _or(target, other, lambda value: stdlib.usable(value.value))


# What does not evaluate all its parts.
_SPECIAL: dict[str, Callable[..., _Run]] = {
    "_&&_": _conjunction,
    "_||_": _disjunction,
    "_?_:_": _conditional,
    "_?._": _optional_select,
    "or": _or,
    "orValue": _or_value,
}
