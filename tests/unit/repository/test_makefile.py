"""What make asks for before it works: tried with the Makefile alone in a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize("target", ["bench", "apibench"])
def test_a_measurement_asks_for_wrk_before_it_installs_anything(tmp_path: Path, target: str) -> None:
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("make", "sh"):
        (programs / name).symlink_to(shutil.which(name) or name)
    environment = {**os.environ, "PATH": str(programs)}
    made = subprocess.run(["make", target], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert made.returncode != 0
    assert "apt-get install wrk" in made.stderr
    assert not (tmp_path / ".venv").exists()


def test_no_quick_target_needs_jupyter_or_client_libraries() -> None:
    for target in ("lint", "unit", "golden", "bench", "up"):
        plan = subprocess.run(
            ["make", "--dry-run", "--always-make", target], cwd=REPOSITORY, capture_output=True, text=True, check=True
        )
        extras = {line.split()[-1] for line in plan.stdout.splitlines() if line.startswith(".ci/venv")}
        assert extras == {"cluster" if target in ("bench", "up") else "dev"}
