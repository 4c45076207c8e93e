"""Parse and match label selectors and field selectors, with upstream's grammar (apimachinery ``labels``, ``fields``).

A text that is not a selector raises BadRequest, with the message of upstream's API server.

A label selector has three forms: a map of labels, as in a Service or ReplicationController (``from_map``); a v1
LabelSelector with matchLabels and matchExpressions, as in a ReplicaSet (``from_label_selector``); the text of
``kubectl -l`` and of the query parameter labelSelector (``parse_selector``). A field selector is always a text
(``parse_field_selector``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from machinery.errors import BadRequest, FieldError, quote
from machinery.validation import is_label_value, is_qualified_name

BINARY_OPERATORS = ("in", "notin", "=", "==", "!=", "gt", "lt")
_SYMBOLS = {">": "gt", "<": "lt"}
LABEL_SELECTOR_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
_INT64 = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One comma-separated part of a label selector. Its operator is one of: in notin = == != gt lt exists !"""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case "=" | "==" | "in":
                return self.key in labels and labels[self.key] in self.values
            case "!=" | "notin":
                return self.key not in labels or labels[self.key] not in self.values
            case "exists":
                return self.key in labels
            case "!":
                return self.key not in labels
            case _:
                value = labels.get(self.key, "")
                if not _INT64.fullmatch(value):
                    return False
                bound = int(self.values[0])
                return int(value) > bound if self.operator == "gt" else int(value) < bound

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"
            case "gt":
                return f"{self.key}>{self.values[0]}"
            case "lt":
                return f"{self.key}<{self.values[0]}"
            case _:
                return f"{self.key}{self.operator}{self.values[0]}"

    def problems(self) -> list[FieldError]:
        """Return what is wrong with this requirement, as upstream's NewRequirement does."""
        errors = _key_problems(self.key, "key")
        values: list[str] = list(self.values)
        if self.operator in ("in", "notin") and not values:
            errors.append(
                FieldError.invalid("values", values, "for 'in', 'notin' operators, values set can't be empty")
            )
        elif self.operator in ("exists", "!") and values:
            detail = "values set must be empty for exists and does not exist"
            errors.append(FieldError.invalid("values", values, detail))
        elif self.operator in ("gt", "lt") and not (len(values) == 1 and _INT64.fullmatch(values[0])):
            detail = "for 'Gt', 'Lt' operators, the value must be an integer"
            errors.append(FieldError.invalid("values[0]", values[0], detail))
        for index, value in enumerate(values):
            if wrong := is_label_value(value):
                errors.append(FieldError.invalid(f"values[{index}][{self.key}]", value, "; ".join(wrong)))
        return errors


def _key_problems(key: str, path: str) -> list[FieldError]:
    wrong = is_qualified_name(key)
    return [FieldError.invalid(path, key, "; ".join(wrong))] if wrong else []


class Selector:
    """A label selector: an object must meet all requirements. Without requirements it selects everything.

    ``nothing`` selects nothing, whatever the requirements.
    """

    __slots__ = ("nothing", "requirements")

    def __init__(self, requirements: Iterable[Requirement] = (), *, nothing: bool = False) -> None:
        self.requirements = tuple(sorted(requirements, key=lambda requirement: requirement.key))
        self.nothing = nothing

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """Return whether an object with these labels is selected."""
        if self.nothing:
            return False
        labels = labels or {}
        return all(requirement.matches(labels) for requirement in self.requirements)

    @property
    def empty(self) -> bool:
        """Whether it selects everything."""
        return not self.requirements and not self.nothing

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))

    def __repr__(self) -> str:
        return "Selector(nothing)" if self.nothing else f"Selector({self})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Selector) and self.requirements == other.requirements and self.nothing == other.nothing

    def __hash__(self) -> int:
        return hash((self.requirements, self.nothing))


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


def from_map(labels: Mapping[str, str] | None) -> Selector:
    """Return the selector of a map of labels, as a Service has it; an empty one or None selects everything."""
    return Selector(Requirement(key, "=", (value,)) for key, value in (labels or {}).items())


def from_label_selector(selector: Mapping[str, Any] | None) -> Selector:
    """Return the selector of a v1 LabelSelector; None selects nothing, an empty one everything. Raises BadRequest."""
    if selector is None:
        return NOTHING
    labels = selector.get("matchLabels") or {}
    requirements = [Requirement(key, "=", (value,)) for key, value in labels.items()]
    for expression in selector.get("matchExpressions") or ():
        operator = LABEL_SELECTOR_OPERATORS.get(expression["operator"])
        if operator is None:
            raise BadRequest(f"{quote(expression['operator'])} is not a valid label selector operator")
        requirement = Requirement(expression["key"], operator, tuple(expression.get("values") or ()))
        _check(requirement)
        requirements.append(requirement)
    return Selector(requirements)


def parse_selector(text: str) -> Selector:
    """Parse e.g. ``app=web,tier in (a,b),!old,weight>3``; an empty text selects everything. Raises BadRequest."""
    if not text:
        return EVERYTHING
    return Selector(_Parser(text).requirements())


def _check(requirement: Requirement) -> None:
    texts = [str(problem) for problem in requirement.problems()]
    if texts:
        raise BadRequest(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")


_END = ""
_TOKEN = re.compile(r"==|!=|[=!(),<>]|[^=!(),<>\s]+")


def _tokens(text: str) -> Iterator[str]:
    """Return words and symbols. ``==`` and ``!=`` are one symbol; others that stand together, like ``=!``, are two."""
    return map(str, _TOKEN.findall(text))


class _Parser:
    """A recursive descent parser. ``in`` and ``notin`` are operators only where one is expected, otherwise words."""

    def __init__(self, text: str) -> None:
        self._tokens: Sequence[str] = [*_tokens(text), _END]
        self._position = 0

    def requirements(self) -> Iterator[Requirement]:
        while True:
            token = self._peek()
            if token == _END:
                return
            if token != "!" and not _is_word(token):
                raise BadRequest(f"found '{token}', expected: !, identifier, or 'end of string'")
            try:
                requirement = self._requirement()
                _check(requirement)
            except BadRequest as error:
                raise BadRequest(f"unable to parse requirement: {error.message}") from None
            yield requirement
            token = self._next()
            if token == _END:
                return
            if token != ",":
                raise BadRequest(f"found '{token}', expected: ',' or 'end of string'")
            if self._peek() != "!" and not _is_word(self._peek()):
                raise BadRequest(f"found '{self._peek()}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        negated = self._peek() == "!"
        if negated:
            self._next()
        key = self._word("expected: identifier")
        if problems := _key_problems(key, "<nil>"):
            raise BadRequest(str(problems[0]))
        if negated:
            return Requirement(key, "!")
        if self._peek() in (_END, ","):
            return Requirement(key, "exists")
        token = self._next()
        operator = _SYMBOLS.get(token, token)
        if operator in ("in", "notin"):
            return Requirement(key, operator, self._values())
        if token not in ("=", "==", "!=", ">", "<"):
            raise BadRequest(f"found '{token}', expected: {', '.join(BINARY_OPERATORS)}")
        value = "" if self._peek() in (_END, ",") else self._word("expected: identifier")
        return Requirement(key, operator, (value,))

    def _values(self) -> tuple[str, ...]:
        """Parse ``(a,b)``. Values may be empty, as in ``(a,)`` and ``()``."""
        if (token := self._next()) != "(":
            raise BadRequest(f"found '{token}' expected: '('")
        values: set[str] = set()
        value = ""
        while True:
            token = self._next()
            if _is_word(token) and not value:
                value = token
            elif token in (",", ")"):
                values.add(value)
                value = ""
                if token == ")":
                    return tuple(sorted(values))
            elif value:
                raise BadRequest(f"found '{token}', expected: ',' or ')'")
            else:
                raise BadRequest(f"found '{token}', expected: ',', or identifier")

    def _word(self, expected: str) -> str:
        token = self._next()
        if not _is_word(token):
            raise BadRequest(f"found '{token}', {expected}")
        return token

    def _peek(self) -> str:
        return self._tokens[self._position]

    def _next(self) -> str:
        token = self._tokens[self._position]
        self._position = min(self._position + 1, len(self._tokens) - 1)
        return token


def _is_word(token: str) -> bool:
    return token != _END and token[0] not in "=!(),<>"


class FieldTerm(NamedTuple):
    """One part of a field selector, ``field=value`` or ``field!=value``."""

    field: str
    operator: str  # "=" or "!="
    value: str

    def matches(self, fields: Mapping[str, str]) -> bool:
        return (fields.get(self.field, "") == self.value) == (self.operator == "=")


class FieldSelector:
    """A field selector: an object must meet all terms. Without terms it selects everything."""

    __slots__ = ("terms",)

    def __init__(self, terms: Iterable[FieldTerm] = ()) -> None:
        self.terms = tuple(terms)

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Return whether an object with these fields is selected. A field that it does not have counts as empty."""
        return all(term.matches(fields) for term in self.terms)

    @property
    def empty(self) -> bool:
        """Whether it selects everything."""
        return not self.terms

    def exact(self, field: str) -> str | None:
        """Return the value that this field must have, None if the selector does not ask for one."""
        return next((term.value for term in self.terms if term.field == field and term.operator == "="), None)

    def check_fields(self, supported: Collection[str]) -> None:
        """Raise BadRequest with upstream's message for the first field that is not supported."""
        for term in self.terms:
            if term.field in supported:
                continue
            if set(supported) <= {"metadata.name", "metadata.namespace"}:
                only = 'only "metadata.name", "metadata.namespace"'
                raise BadRequest(f"{quote(term.field)} is not a known field selector: {only}")
            raise BadRequest(f"field label not supported: {term.field}")

    def __str__(self) -> str:
        return ",".join(f"{term.field}{term.operator}{_escaped(term.value)}" for term in self.terms)


def parse_field_selector(text: str) -> FieldSelector:
    """Parse e.g. ``spec.nodeName=a,status.phase!=Running``. A backslash escapes ``,`` ``=`` and itself."""
    terms = []
    for part in re.findall(r"(?:\\.|[^,\\])+|\\$", text):
        match = re.match(r"((?:\\.|[^=!\\]|!(?!=))*)(!=|==|=)(.*)", part, re.DOTALL)
        if match is None:
            raise BadRequest(f"invalid selector: '{text}'; can't understand '{part}'")
        field, operator, value = match.groups()
        terms.append(FieldTerm(field, "!=" if operator == "!=" else "=", _unescaped(value)))
    return FieldSelector(terms)


def _escaped(value: str) -> str:
    return re.sub(r"([\\,=])", r"\\\1", value)


def _unescaped(value: str) -> str:
    """Remove the escapes of a value. Raises BadRequest for an unknown escape, or a character that needs one."""

    def plain(match: re.Match[str]) -> str:
        part = match[0]
        if part[0] != "\\":
            if part == "=":
                raise BadRequest(f"invalid field selector: unescaped character in value: {value}")
            return part
        if part[1:] not in ("\\", ",", "="):
            raise BadRequest(f"invalid field selector: invalid escape sequence: {part}")
        return part[1:]

    return re.sub(r"\\.?|[^\\]", plain, value, flags=re.DOTALL)
