"""The notebook runs from its first cell to its last, and its committed copy shows what it prints.

To refresh the committed outputs, on a running cluster: ``.venv/bin/jupyter execute --inplace demo/walkthrough.ipynb``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from e2e.harness import Cluster
from nbclient import NotebookClient

from cluster.settings import HOME_VARIABLE, REPOSITORY

NOTEBOOK = REPOSITORY / "demo" / "walkthrough.ipynb"

# The kernel's own sockets and event loop, over which we have no say.
pytestmark = pytest.mark.filterwarnings("ignore")


def printed(notebook: Any) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs)


def pictures(notebook: Any) -> int:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def check(notebook: Any) -> None:
    """It shows the article's answer, the four and then the seven rules, and two pictures."""
    text = printed(notebook)
    assert '{"host": "172.30.40.155", "version": "0.4.0", "result": "all is well"}' in text
    rules = [line for line in text.splitlines() if line.startswith("-A ") and "simpleservice" in line]
    assert len(rules) == 4 + 7
    assert sum("--probability 0.50000000000" in rule for rule in rules) == 1
    assert pictures(notebook) == 2


def test_runs_to_its_end(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(cluster.state.root))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    check(notebook)


def test_the_committed_copy_shows_its_outputs() -> None:
    check(nbformat.read(NOTEBOOK, as_version=4))
