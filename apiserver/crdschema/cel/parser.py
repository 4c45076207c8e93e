"""Parse a CEL expression to its tree (upstream: cel-go parser/parser.go).

It takes what cel-go takes, and no deeper: no part of the tree is nested more than 250 levels. The words about a syntax
error, which in cel-go come from its generated parser, are taken from Google's C++ implementation, whose parser is
generated from the same grammar. (It cannot be the parser itself, as it ends at 32 levels: ``a + b + …`` with 33 terms.)
"""

from __future__ import annotations

from functools import cache
from typing import Any

from apiserver.crdschema.cel import macros
from apiserver.crdschema.cel.ast import (
    Call,
    Entry,
    Ident,
    ListNode,
    Literal,
    MapNode,
    Node,
    Select,
    Struct,
    qualified_name,
)
from apiserver.crdschema.cel.lexer import SyntaxFault, Token, tokens
from apiserver.crdschema.cel.source import NOWHERE, CompileError, Source
from apiserver.crdschema.cel.values import INT_MAX, Uint

_MOST_DEPTH = 250
_MOST_CHARACTERS = 100_000
_MOST_CHARACTERS_FOR_WORDS = 4_096
_TOO_DEEP = f"expression recursion limit exceeded: {_MOST_DEPTH}"
_RESERVED = frozenset(
    ("as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package")
) | frozenset(("namespace", "return", "var", "void", "while"))
# The binary operators, those that bind tightest first.
_MULTIPLICATIVE = {"*": "_*_", "/": "_/_", "%": "_%_"}
_ADDITIVE = {"+": "_+_", "-": "_-_"}
_RELATIONS = {"<": "_<_", "<=": "_<=_", ">": "_>_", ">=": "_>=_", "==": "_==_", "!=": "_!=_", "in": "@in"}
_BINARY = frozenset((*_MULTIPLICATIVE, *_ADDITIVE, *_RELATIONS, "&&", "||"))
_NUMBERS = frozenset(("int", "uint", "double"))


def parse(text: str) -> Node:
    """Return the tree of an expression. Raises CompileError with cel-go's text."""
    source = Source(text)
    if len(text) > _MOST_CHARACTERS:
        source.report(NOWHERE, f"expression code point size exceeds limit: size: {len(text)}, limit {_MOST_CHARACTERS}")
        source.raise_reported()
    try:
        return _Parser(tokens(text)).whole()
    except macros.MacroFault as fault:
        source.report(fault.offset, fault.message)
    except SyntaxFault as fault:
        if words := _library_words(text):
            raise CompileError(words) from None
        source.report(fault.offset, fault.message)
    except RecursionError:
        source.report(NOWHERE, _TOO_DEEP)
    source.raise_reported()
    raise AssertionError("unreachable")


def _library_words(text: str) -> str:
    """Return what the C++ library says about a syntax error, "" if it finds none."""
    if len(text) > _MOST_CHARACTERS_FOR_WORDS:
        return ""
    try:
        _library().compile(text, disable_check=True)
    except RuntimeError as error:
        words = str(error).removeprefix("INVALID_ARGUMENT: ").removesuffix("[INVALID_ARGUMENT]").rstrip()
        if words.startswith("ERROR: <input>:") and "max recursion depth" not in words:
            return words.replace("<input>:4294967295:0:", "<input>:-1:0:")
    return ""


@cache
def _library() -> Any:
    from cel_expr_python import cel  # here, because it is only loaded for the words of an error
    from cel_expr_python.ext import ext_optional

    return cel.NewEnv(extensions=[ext_optional.ExtOptional()])


class _Parser:
    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._expression()
        if self._kind != "end":
            raise self._unexpected()
        return node

    @property
    def _kind(self) -> str:
        return self._tokens[self._at].kind

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _take(self, kind: str) -> bool:
        if self._tokens[self._at].kind == kind:
            self._at += 1
            return True
        return False

    def _expect(self, kind: str) -> Token:
        if self._kind != kind:
            raise self._unexpected(kind)
        return self._next()

    def _unexpected(self, wanted: str = "") -> SyntaxFault:
        token = self._tokens[self._at]
        shown = "<EOF>" if token.kind == "end" else str(token.value or token.kind)
        expecting = f" expecting '{wanted}'" if wanted else ""
        return SyntaxFault(token.offset, f"Syntax error: mismatched input '{shown}'{expecting}")

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise SyntaxFault(NOWHERE, _TOO_DEEP)
        node = self._logical()
        if self._kind == "?":
            offset = self._next().offset
            then = self._logical()
            self._expect(":")
            node = Call(offset, "_?_:_", None, [node, then, self._expression()])
        self._depth -= 1
        return node

    def _logical(self) -> Node:
        """Parse operands with binary operators between them."""
        operands, operators = [self._operand()], []
        while self._kind in _BINARY:
            operators.append(self._next())
            operands.append(self._operand())
        for level in (_MULTIPLICATIVE, _ADDITIVE, _RELATIONS):
            operands, operators = _folded(operands, operators, level)
        if not operators:
            return operands[0]
        terms, ors = [], [token for token in operators if token.kind == "||"]
        start = 0
        for end in [*(at for at, token in enumerate(operators) if token.kind == "||"), len(operators)]:
            terms.append(_balanced("_&&_", operands[start : end + 1], operators[start:end]))
            start = end + 1
        return _balanced("_||_", terms, ors)

    def _operand(self) -> Node:
        token = self._tokens[self._at]
        if token.kind not in ("!", "-"):
            return self._member()
        count = 0
        while self._take(token.kind):
            count += 1
        if token.kind == "-" and count == 1 and self._kind in _NUMBERS:
            return self._member(negative=token.offset)
        node = self._member(signed=token.kind == "!")
        function = "!_" if token.kind == "!" else "-_"
        return Call(token.offset, function, None, [node]) if count % 2 else node

    def _member(self, *, negative: int | None = None, signed: bool = False) -> Node:
        """Parse an operand and the selections, calls and indices after it."""
        if signed and self._kind == "-":
            negative = self._next().offset
        node = self._primary(negative)
        links = 0
        while self._kind in (".", "["):
            links += 1
            if links > _MOST_DEPTH:
                raise SyntaxFault(NOWHERE, _TOO_DEEP)
            token = self._next()
            optional = self._take("?")
            if token.kind == "[":
                index = self._expression()
                self._expect("]")
                node = Call(token.offset, "_[?_]" if optional else "_[_]", None, [node, index])
                continue
            name = self._expect("name")
            if not optional and self._kind == "(":
                offset = self._next().offset
                arguments = self._arguments(")")
                node = macros.expanded(Call(offset, str(name.value), node, arguments))
            elif optional:
                node = Call(token.offset, "_?._", None, [node, Literal(name.offset, str(name.value), "string")])
            else:
                node = Select(token.offset, node, str(name.value))
        if self._kind == "{" and (name_of := qualified_name(node)):
            return self._struct(name_of)
        return node

    def _primary(self, negative: int | None) -> Node:
        token = self._next()
        match token.kind:
            case "name":
                return self._name(token, str(token.value))
            case "." if self._kind == "name":
                name = self._next()
                return self._name(name, f".{name.value}")
            case "(":
                node = self._expression()
                self._expect(")")
                return node
            case "[":
                return self._list(token.offset)
            case "{":
                return self._map(token.offset)
            case "string" | "bytes":
                return Literal(token.offset, token.value, token.kind)
            case "int" | "uint" | "double":
                return _number(token, negative)
            case "true" | "false":
                return Literal(token.offset, token.kind == "true", "bool")
            case "null":
                return Literal(token.offset, None, "null")
        self._at -= 1
        raise self._unexpected()

    def _name(self, token: Token, name: str) -> Node:
        if self._kind == "(":
            offset = self._next().offset
            return macros.expanded(Call(offset, name, None, self._arguments(")")))
        if name in _RESERVED:
            raise SyntaxFault(token.offset, f"reserved identifier: {name}")
        return Ident(token.offset, name)

    def _arguments(self, end: str) -> list[Node]:
        found: list[Node] = []
        if self._take(end):
            return found
        found.append(self._expression())
        while self._take(","):
            found.append(self._expression())
        self._expect(end)
        return found

    def _list(self, offset: int) -> Node:
        elements: list[Node] = []
        optional: set[int] = set()
        while self._kind != "]":
            if self._take("?"):
                optional.add(len(elements))
            elements.append(self._expression())
            if not self._take(","):
                break
        if not elements:
            self._take(",")
        self._expect("]")
        return ListNode(offset, elements, frozenset(optional))

    def _map(self, offset: int) -> Node:
        entries: list[Entry] = []
        while self._kind != "}":
            optional = self._take("?")
            key = self._expression()
            colon = self._expect(":")
            entries.append(Entry(colon.offset, key, self._expression(), optional))
            if not self._take(","):
                break
        if not entries:
            self._take(",")
        self._expect("}")
        return MapNode(offset, entries)

    def _struct(self, name: str) -> Node:
        offset = self._next().offset
        while self._kind != "}":
            self._take("?")
            self._expect("name")
            self._expect(":")
            self._expression()
            if not self._take(","):
                break
        self._expect("}")
        return Struct(offset, name)


def _number(token: Token, negative: int | None) -> Literal:
    value: Any = token.value
    if negative is None:
        if token.kind == "int" and value > INT_MAX:
            raise SyntaxFault(token.offset, "invalid int literal")
        return Literal(token.offset, Uint(value) if token.kind == "uint" else value, token.kind)
    if token.kind == "uint":
        raise SyntaxFault(token.offset, "invalid uint literal")
    return Literal(negative, -value, token.kind)


def _folded(operands: list[Node], operators: list[Token], level: dict[str, str]) -> tuple[list[Node], list[Token]]:
    """Join the operands of the operators of a level, from the left."""
    if not any(token.kind in level for token in operators):
        return operands, operators
    kept, left = [operands[0]], []
    links = 0
    for token, operand in zip(operators, operands[1:], strict=True):
        if token.kind in level:
            links += 1
            kept[-1] = Call(token.offset, level[token.kind], None, [kept[-1], operand])
            if links > _MOST_DEPTH:
                raise SyntaxFault(NOWHERE, _TOO_DEEP)
        else:
            links = 0
            left.append(token)
            kept.append(operand)
    return kept, left


def _balanced(function: str, terms: list[Node], operators: list[Token]) -> Node:
    """Join the terms of a conjunction or disjunction to a balanced tree, as deep as the logarithm of their number."""
    if not operators:
        return terms[0]
    middle = len(operators) // 2
    left = _balanced(function, terms[: middle + 1], operators[:middle])
    right = _balanced(function, terms[middle + 1 :], operators[middle + 1 :])
    return Call(operators[middle].offset, function, None, [left, right])
