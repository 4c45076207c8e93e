"""Every file and function that the documents and the packages' maps name is there."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import lru_cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGES = [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").glob("*.md"))]
# `folder/file.py`, `file.py:function`, `folder/`: with a name in it, and nothing that only a shell understands.
REFERENCE = re.compile(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|md|txt|toml|ipynb|yaml)|(?:[\w-]+/)+)(?::(\w+))?`")
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)")
PRODUCT = ("machinery", "apiserver", "controllers", "kubelet", "proxy", "cluster", "mini_minishift")
FOLDERS = {path.name for path in REPOSITORY.iterdir() if path.is_dir() and not path.name.startswith(".")}


@lru_cache
def repository_files() -> tuple[Path, ...]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    names = listed.stdout.split("\n") if listed.returncode == 0 else []
    return tuple(Path(name) for name in names if name and (REPOSITORY / name).exists())


@lru_cache
def names_in(file: Path) -> set[str]:
    """Return the functions and classes that a file defines, methods included."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {node.name for node in ast.walk(ast.parse((REPOSITORY / file).read_text())) if isinstance(node, kinds)}


def problem(path: str, name: str) -> str:
    """Return what is wrong with a reference; nothing if it is right.

    A path with a folder is relative to the repository. A mere file name may lie anywhere, but must be somewhere.
    """
    if "/" in path:
        found = [Path(path)] if (REPOSITORY / path).exists() else []
    else:
        found = [file for file in repository_files() if file.name == path]
    if not found:
        return f"{path} does not exist"
    if name and not any(name in names_in(file) for file in found):
        return f"{path} has no {name}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_document_names_is_there(page: Path) -> None:
    text = page.read_text()
    problems = [
        problem(path, name)
        for path, name in REFERENCE.findall(text)
        if "/" not in path or path.split("/")[0] in FOLDERS
    ]
    problems += [f"{link} does not exist" for link in LINK.findall(text) if not (page.parent / link).exists()]
    assert list(filter(None, problems)) == []


def test_every_package_opens_with_a_map_of_files_that_are_there() -> None:
    wrong = []
    for init in repository_files():
        if init.name != "__init__.py" or init.parts[0] not in PRODUCT:
            continue
        text = ast.get_docstring(ast.parse((REPOSITORY / init).read_text()))
        named = re.findall(r"[\w/]+\.py\b", text or "")
        missing = [name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in repository_files())]
        if text is None or missing:
            wrong.append(f"{init}: {missing or 'no docstring'}")
    assert wrong == []


def test_a_reference_to_nothing_is_found() -> None:
    assert problem("proxy/rules.py", "build") == ""
    assert problem("rules.py", "build") == ""
    assert problem("proxy/nothing.py", "") == "proxy/nothing.py does not exist"
    assert problem("proxy/rules.py", "nothing") == "proxy/rules.py has no nothing"
    assert problem("nothing.py", "") == "nothing.py does not exist"
