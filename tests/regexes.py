"""Prove that a regular expression of Python's ``re`` takes time linear in its subject, however hostile that is.

``re`` backtracks. Its time grows with the number of ways in which the pattern's automaton can read a text:

- exponentially, if there is a state that reads some text back to itself in two ways (``(a|a)*``, ``(a*)*``),
- as a power, if a state p reads some text back to itself, and to another state q, which reads it to itself (``a*a*``).

The automaton is made from the pattern's syntax tree, and both are looked for in products of it. Neither is there in a
pattern for which ``problem`` returns "". What follows a repetition is not considered, so the answer can be too strict.

Upstream of the conditions: Weideman et al., Analyzing Matching Time Behavior of Backtracking Regular Expression
Matchers by Using Ambiguity of NFA (2016).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from re import _constants as ops  # type: ignore[attr-defined]  # the only parser of re's syntax
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

# Characters of every kind that a class can tell apart; those that a pattern names are added.
_CHARACTERS = [*map(chr, range(128)), "é", "٣", "\u00a0", "\u2028", "字"]
# How many copies are made of a part that is repeated; a higher limit counts as none. Copies of one character are no
# danger, but those of a part that is ambiguous in itself would multiply without a loop.
_MOST_COPIES, _MOST_CHARACTERS = 3, 70
_ACCEPT = -1

_Class = Callable[[str], bool]


class _Automaton:
    """States read one character each. ``edges[state][character class]`` lists the next states, with repetitions."""

    def __init__(self, pattern: str | bytes, flags: int, *, scans: bool) -> None:
        tree = parser.parse(pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern, flags)
        self._flags = tree.state.flags
        self._classes: dict[int, _Class] = {}  # of the nodes that read a character
        self._next: dict[int, list[int]] = defaultdict(list)  # without reading
        self._nodes = 0
        self._literals: set[str] = set()
        start, end = self._build(tree)
        if scans:
            anything = self._reading(lambda character: True)
            self._next[anything] = [anything, start]
            start = anything
        self.accepting = end
        self.states = {0: start} | dict(enumerate(self._classes, 1))
        self._numbers = {node: number for number, node in self.states.items() if number}
        self.after = {
            number: self._closure([node] if not number else self._next[node]) for number, node in self.states.items()
        }
        self.letters = self._letters()

    def reads(self, state: int, character: str) -> bool:
        return state > 0 and self._classes[self.states[state]](character)

    def _letters(self) -> list[str]:
        """Return one character for each set of characters between which no state makes a difference."""
        seen: dict[tuple[bool, ...], str] = {}
        for character in (*_CHARACTERS, *sorted(self._literals)):
            seen.setdefault(tuple(test(character) for test in self._classes.values()), character)
        return list(seen.values())

    def _closure(self, nodes: Iterable[int]) -> list[int]:
        """Return the states, or _ACCEPT, that are reached without reading; one that two paths lead to, twice."""
        found: list[int] = []

        def visit(node: int, path: tuple[int, ...]) -> None:
            if node in self._numbers:
                found.append(self._numbers[node])
            elif node == self.accepting:
                found.append(_ACCEPT)
            elif path.count(node) < 2:  # The second time shows that a loop can be gone through without reading.
                for each in self._next[node]:
                    visit(each, (*path, node))

        for node in nodes:
            visit(node, ())
        return found

    def _node(self) -> int:
        self._nodes += 1
        return self._nodes

    def _reading(self, test: _Class) -> int:
        node = self._node()
        self._classes[node] = test
        return node

    def _build(self, tree: Any) -> tuple[int, int]:
        """Return first and last node of a sequence."""
        start = end = self._node()
        for op, argument in tree:
            first, last = self._part(op, argument)
            self._next[end].append(first)
            end = last
        return start, end

    def _part(self, op: Any, argument: Any) -> tuple[int, int]:
        if op in (ops.LITERAL, ops.NOT_LITERAL, ops.ANY, ops.IN):
            node, end = self._reading(self._class(op, argument)), self._node()
            self._next[node].append(end)
            return node, end
        if op is ops.SUBPATTERN:
            return self._build(argument[-1])
        if op is ops.ATOMIC_GROUP:
            return self._build(argument)
        if op is ops.BRANCH:
            start, end = self._node(), self._node()
            for each in argument[1]:
                first, last = self._build(each)
                self._next[start].append(first)
                self._next[last].append(end)
            return start, end
        if op in (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT):
            return self._repeat(*argument)
        if op in (ops.AT, ops.ASSERT, ops.ASSERT_NOT):
            # An assertion can fail behind every text, so nothing is accepted by going through it.
            node, end = self._node(), self._node()
            self._next[node].append(end)
            return node, end
        raise ValueError(f"{op} cannot be proved linear")

    def _repeat(self, least: int, most: int, tree: Any) -> tuple[int, int]:
        start, done = self._node(), self._node()
        single = len(tree) == 1 and tree[0][0] in (ops.LITERAL, ops.NOT_LITERAL, ops.ANY, ops.IN)
        if most > (_MOST_CHARACTERS if single else _MOST_COPIES):
            first, last = self._build(tree)
            self._next[start] += [first] if least else [first, done]
            self._next[last] += [first, done]
            return start, done
        end = start
        for _ in range(least):
            first, last = self._build(tree)
            self._next[end].append(first)
            end = last
        for _ in range(most - least):
            first, last = self._build(tree)
            self._next[end] += [first, done]
            end = last
        self._next[end].append(done)
        return start, done

    def _class(self, op: Any, argument: Any) -> _Class:
        if op is ops.LITERAL:
            self._literals.add(chr(argument))
            return self._same(argument)
        if op is ops.NOT_LITERAL:
            self._literals.add(chr(argument))
            equal = self._same(argument)
            return lambda character: not equal(character)
        if op is ops.ANY:
            return lambda character: bool(self._flags & re.DOTALL) or character != "\n"
        negated = argument[0][0] is ops.NEGATE
        tests = [self._member(*each) for each in argument[1 if negated else 0 :]]
        return lambda character: any(test(character) for test in tests) != negated

    def _member(self, op: Any, argument: Any) -> _Class:
        if op is ops.LITERAL:
            self._literals.add(chr(argument))
            return self._same(argument)
        if op is ops.RANGE:
            low, high = argument
            self._literals |= {chr(low), chr(high)}
            return lambda character: any(low <= ord(each) <= high for each in self._cases(character))
        if op is ops.CATEGORY:
            words = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}
            kind = str(argument).removeprefix("CATEGORY_")
            test = re.compile(words[kind.removeprefix("NOT_")], self._flags & re.ASCII)
            return lambda character: bool(test.match(character)) != kind.startswith("NOT_")
        raise ValueError(f"{op} cannot be proved linear")

    def _same(self, code: int) -> _Class:
        return lambda character: chr(code) in self._cases(character)

    def _cases(self, character: str) -> Iterator[str]:
        yield character
        if self._flags & re.IGNORECASE:
            yield from (character.lower(), character.upper())


def problem(pattern: str | bytes, flags: int = 0, *, scans: bool) -> str:
    """Return why a pattern may take more than linear time, "" if it does not.

    ``scans`` tells that it is tried at many places of a text (search, sub, findall), and not only at the beginning.
    """
    try:
        automaton = _Automaton(pattern, flags, scans=scans)
    except (ValueError, re.error) as error:
        return f"{pattern!r}: {error}"
    looping = {state: reached for state in automaton.after if state in (reached := _reachable(automaton, state))}
    component = {
        state: frozenset(other for other in reached if state in looping.get(other, ()))
        for state, reached in looping.items()
    }
    for state in looping:
        if _returns_in_two_ways(automaton, state, component[state]):
            return f"exponential: {pattern!r} can read the same text in many ways"
    for p in looping:
        for q in looping[p] & looping.keys() - component[p]:
            if scans and p == _scan_state(automaton) and _accepts_on_its_way(automaton, component[q]):
                continue  # An attempt that comes to q succeeds, and the next begins behind it.
            if _leads_over(automaton, p, q, component, looping[p]):
                return f"quadratic: {pattern!r} can divide the same text in many ways"
    return ""


def _scan_state(automaton: _Automaton) -> int:
    return len(automaton.states) - 1


def _accepts_on_its_way(automaton: _Automaton, component: frozenset[int]) -> bool:
    """Return True if every way round through these states comes to one behind which the pattern may end."""
    waiting = {state for state in component if _ACCEPT not in automaton.after[state]}
    while leaves := {state for state in waiting if not waiting & set(automaton.after[state])}:
        waiting -= leaves
    return not waiting


def _reachable(automaton: _Automaton, state: int) -> frozenset[int]:
    """Return the states that are reached from a state by reading one or more characters."""
    found: set[int] = set()
    waiting = [state]
    while waiting:
        for each in automaton.after[waiting.pop()]:
            if each not in found and each != _ACCEPT:
                found.add(each)
                waiting.append(each)
    return frozenset(found)


def _returns_in_two_ways(automaton: _Automaton, state: int, component: frozenset[int]) -> bool:
    def steps(place: tuple[int, int, bool]) -> Iterator[tuple[int, int, bool]]:
        a, b, apart = place
        for index, left in enumerate(automaton.after[a]):
            for other, right in enumerate(automaton.after[b]):
                if left in component and right in component and _share(automaton, left, right):
                    yield left, right, apart or a != b or index != other

    return _search((state, state, False), (state, state, True), steps)


def _leads_over(
    automaton: _Automaton, p: int, q: int, component: dict[int, frozenset[int]], beyond: frozenset[int]
) -> bool:
    between = {state for state in beyond if state in component[p] or state == q or q in _reachable(automaton, state)}

    def steps(place: tuple[int, int, int]) -> Iterator[tuple[int, int, int]]:
        a, b, c = place
        for left in set(automaton.after[a]) & component[p]:
            for middle in set(automaton.after[b]) & between:
                for right in set(automaton.after[c]) & component[q]:
                    if _share(automaton, left, middle, right):
                        yield left, middle, right

    return _search((p, p, q), (p, q, q), steps)


def _share(automaton: _Automaton, *states: int) -> bool:
    return any(all(automaton.reads(state, letter) for state in states) for letter in automaton.letters)


def _search(start: Any, goal: Any, steps: Callable[[Any], Iterator[Any]]) -> bool:
    """Return True if the goal is reached from the start in one or more steps."""
    seen: set[Any] = set()
    waiting = [start]
    while waiting:
        for place in steps(waiting.pop()):
            if place == goal:
                return True
            if place not in seen:
                seen.add(place)
                waiting.append(place)
    return False
