"""No regular expression of the product takes more than linear time, whatever text it meets.

Every pattern stands where it can be evaluated without running the code around it, and is proved (``tests.regexes``).
Patterns that come from outside, as those of custom resources' schemas, are RE2's (``apiserver/crdschema/regex.py``).
"""

from __future__ import annotations

import ast
import importlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import regexes

ROOT = Path(__file__).parents[3]
PACKAGES = ("apiserver", "cluster", "controllers", "kubelet", "machinery", "mini_minishift", "proxy")
FUNCTIONS = ("compile", "match", "search", "fullmatch", "sub", "subn", "split", "findall", "finditer")
AT_THE_BEGINNING = ("match", "fullmatch")
# Patterns that the proof is too strict for, with why they are linear, and hostile texts for them.
LINEAR: dict[str, tuple[str, list[bytes]]] = {
    r"""(?>[\s/]++|([^\s/>][^\s/>=]*+)(?>(\s*+=\s*+)("[^"]*+"|'[^']*+'|[^\s"'>][^\s>]*+)?+)?+)*+>""": (
        "Every quantifier is possessive. What may be read twice is a value whose quotation mark is never closed, of "
        "which there is at most one for each of the two marks.",
        [b"a" * 1_000_000, b" /" * 500_000, b'a="' * 333_333, b"a='\"" * 250_000, b"a =" * 333_333, b"a= " * 333_333],
    ),
}


class Use(NamedTuple):
    """A place where a pattern is compiled or used; ``scans``: it may be tried at many places of a text."""

    where: str
    pattern: str | bytes
    flags: int
    scans: bool


def _uses() -> Iterator[Use]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(path.read_text())
            calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _function(node)]
            if calls:
                yield from _of_module(path.relative_to(ROOT), tree, calls)


def _function(call: ast.Call) -> str:
    """Return the name of the function of ``re`` that is called, "" if it is another function."""
    match call.func:
        case ast.Attribute(value=ast.Name(id="re"), attr=name) if name in FUNCTIONS:
            return name
    return ""


def _of_module(path: Path, tree: ast.Module, calls: list[ast.Call]) -> Iterator[Use]:
    parts = path.with_suffix("").parts
    module = vars(importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts)))
    names = {
        id(node.value): node.targets[0].id
        for node in tree.body
        if isinstance(node, ast.Assign)
        if isinstance(node.targets[0], ast.Name)
    }
    for call in calls:
        where, function = f"{path}:{call.lineno}", _function(call)
        name = names.get(id(call), "")
        scans = _is_scanned(tree, name) if function == "compile" else function not in AT_THE_BEGINNING
        yield Use(where, _value(where, module, call.args[0]), _flags(where, module, call, function), scans)


def _flags(where: str, module: dict[str, Any], call: ast.Call, function: str) -> int:
    given = [keyword.value for keyword in call.keywords if keyword.arg == "flags"]
    position = {"compile": 1, "sub": 4, "subn": 4, "split": 3}.get(function, 2)
    return int(_value(where, module, (given or call.args[position:])[0])) if given or call.args[position:] else 0


def _value(where: str, module: dict[str, Any], expression: ast.expr) -> Any:
    """Evaluate an argument; what it needs of the function around it is unknown, and makes an invalid pattern."""
    try:
        return eval(compile(ast.Expression(expression), where, "eval"), {**module, "re": re})  # our own code
    except NameError as error:
        return f"(not a constant: {error.name}"


def _is_scanned(tree: ast.Module, name: str) -> bool:
    """Return False if the compiled pattern is private and only ever tried at the beginning of a text.

    A pattern that is handed to a function counts as tried anywhere if its module tries any pattern anywhere.
    """
    if not name.startswith("_"):
        return True
    uses = {id(node): "" for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == name}
    elsewhere = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            function = "anywhere" if node.attr == "match" and id(node) in _with_position(tree) else node.attr
            anywhere = function in ("anywhere", "search", "sub", "subn", "findall", "finditer")
            if id(node.value) in uses:
                uses[id(node.value)] = "anywhere" if anywhere else function
            elsewhere = elsewhere or (anywhere and not (isinstance(node.value, ast.Name) and node.value.id == "re"))
    loads = {id(node) for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return any(use == "anywhere" or (not use and elsewhere) for place, use in uses.items() if place in loads)


def _with_position(tree: ast.Module) -> set[int]:
    """Return the functions that are called with more than one argument."""
    return {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call) and len(node.args) > 1}


def test_every_pattern_is_linear() -> None:
    uses = list(_uses())
    found = [
        f"{use.where}: {why}"
        for use in uses
        if _text(use.pattern) not in LINEAR
        if (why := regexes.problem(use.pattern, use.flags, scans=use.scans))
    ]
    assert len(uses) > 30
    assert {_text(use.pattern) for use in uses} >= LINEAR.keys()
    assert not found, "\n".join(found)


def _text(pattern: str | bytes) -> str:
    return pattern if isinstance(pattern, str) else pattern.decode("latin-1")


@pytest.mark.parametrize(("pattern", "texts"), [(pattern, texts) for pattern, (_, texts) in LINEAR.items()])
def test_those_that_are_linear_for_another_reason(pattern: str, texts: list[bytes]) -> None:
    compiled = re.compile(pattern.encode("latin-1"))
    for text in texts:
        began = time.process_time()
        compiled.match(text)
        assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("pattern", "scans", "why"),
    [
        ("[0-9]+", False, ""),
        ("a*b*", False, ""),
        (r"[a-z]([-a-z]*[a-z])?(\.[a-z]([-a-z]*[a-z])?)*", False, ""),
        (r"\\.?|[^\\]", True, ""),
        ("a+", True, ""),
        ("a+b", False, ""),
        ("a+b", True, "quadratic"),
        ("a*a*", False, "quadratic"),
        (".*foo.*", False, "quadratic"),
        ("a{0,300}a{0,300}", False, "quadratic"),
        (r"([+-]?[0-9.]+)([eE]*[-+]?[0-9]*)", False, "quadratic"),
        ("(a|a)*", False, "exponential"),
        ("(a|aa)*", False, "exponential"),
        ("(a*)*", False, "exponential"),
        ("(a?)*b", False, "exponential"),
        ("(x+x+)+y", False, "exponential"),
        (r"(\d+(\.\d*)?\s*(ns|s|[a-z]+)\s*)+", False, "exponential"),
        (r"(a)\1", False, "GROUPREF cannot be proved linear"),
    ],
)
def test_proofs(pattern: str, scans: bool, why: str) -> None:
    found = regexes.problem(pattern, scans=scans)
    assert why in found if why else not found
