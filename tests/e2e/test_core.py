"""The core alone: the API server without a feature and the core's controllers play the article, too."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import reading
from e2e.harness import Cluster, play_article

from cluster.settings import REPOSITORY, State

FEATURE_MACHINERY = {"apiserver/features/__init__.py", "apiserver/features/feature.py"}
PROCESSES = ("apiserver", "controllers", "kubelet", "proxy")
# Python runs a module of this name at every start. This one writes a line for each module that is about to be loaded.
SITE_CUSTOMIZE = """
import sys


class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        print("loading", name, file=sys.stderr, flush=True)


sys.meta_path.insert(0, Finder)
"""
_LOADING = re.compile(r"^loading ([\w.]+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def core(home: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of the core alone, whose processes write into their logs which modules they load."""
    if home.is_running():
        home.must("stop")
    folder = tmp_path_factory.mktemp("core")
    (folder / "sitecustomize.py").write_text(SITE_CUSTOMIZE)
    cluster = Cluster(State(folder / "state"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        cluster.must("up", "--core")
    yield cluster
    cluster.must("down", "--keep-images")


def test_it_plays_the_article(core: Cluster, kubectl_binary: Path, tmp_path: Path) -> None:
    play_article(core, kubectl_binary, tmp_path)


def test_only_the_core_and_what_the_page_names_beside_it_runs(core: Cluster) -> None:
    """After the article has been played, so that what is loaded on demand is loaded."""
    loaded = {process: set(_loaded(core, process)) for process in PROCESSES}
    running = set().union(*loaded.values())
    optional = {file for file in running if file.startswith("apiserver/features/")} - FEATURE_MACHINERY
    assert not optional, f"these features are loaded: {optional}"
    foreign = {
        file for process, files in loaded.items() for file in files if not file.startswith((process, "machinery"))
    }
    assert not foreign, f"a process loads what is another's: {foreign}"
    assert set(reading.core()) <= running, f"the page lists what does not run: {set(reading.core()) - running}"
    assert reading.counted(running) <= reading.running_total()


def _loaded(cluster: Cluster, process: str) -> Iterator[str]:
    """Yield the files of ours that a process has loaded, but for those that hold a docstring only."""
    for name in _LOADING.findall((cluster.state.logs / f"{process}.log").read_text()):
        path = REPOSITORY.joinpath(*name.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if file.is_file() and len(ast.parse(file.read_text()).body) > 1:
            yield str(file.relative_to(REPOSITORY))
