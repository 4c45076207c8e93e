"""The article, played as ``make walkthrough`` does it, with each generation of kubectl."""

from __future__ import annotations

from pathlib import Path

from e2e.harness import Cluster, play_article


def test_every_command_prints_what_the_article_says(cluster: Cluster, kubectl_binary: Path, tmp_path: Path) -> None:
    play_article(cluster, kubectl_binary, tmp_path)
