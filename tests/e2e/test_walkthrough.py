"""The article, played as ``make walkthrough`` does it, with each generation of kubectl."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from e2e.harness import Cluster

from cluster.settings import REPOSITORY


def test_every_command_prints_what_the_article_says(cluster: Cluster, kubectl_binary: Path, tmp_path: Path) -> None:
    (tmp_path / "kubectl").symlink_to(kubectl_binary)
    played = subprocess.run(
        [sys.executable, REPOSITORY / "demo" / "play.py", f"--kubeconfig={cluster.kubeconfig}"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert played.returncode == 0, played.stdout + played.stderr
