"""The node's log folder: what is in it, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelet.server.logs.nodelogs import find, listing, open_file
from machinery.errors import NotFound


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "log"
    (root / "pods").mkdir(parents=True)
    (root / "a <b>.log").write_text("x")
    (tmp_path / "secret").write_text("x")
    (root / "way-out").symlink_to(tmp_path / "secret")
    return root


def test_files_and_folders(root: Path) -> None:
    assert find("", root) == find("/", root) == root.resolve()
    assert find("pods/", root).name == "pods"
    assert find("a <b>.log", root).read_text() == "x"


@pytest.mark.parametrize("path", ["../secret", "pods/../../secret", "/etc/passwd", "way-out", "gone"])
def test_what_is_not_below_the_root_is_not_there(root: Path, path: str) -> None:
    with pytest.raises(NotFound):
        find(path, root)


def test_a_page_of_links(root: Path) -> None:
    assert '<a href="a%20%3Cb%3E.log">a &lt;b&gt;.log</a>\n<a href="pods/">pods/</a>' in listing(root, root)


def test_a_file_is_read(root: Path) -> None:
    with open_file(find("a <b>.log", root), root) as file:
        assert file.read() == b"x"


def test_a_link_that_appears_after_the_look_is_not_followed(root: Path, tmp_path: Path) -> None:
    (root / "pods" / "secret").write_text("harmless")
    found, folder = find("pods/secret", root), find("pods", root)
    (root / "pods").rename(root / "old")
    (root / "pods").symlink_to(tmp_path)
    with pytest.raises(NotFound):
        open_file(found, root)
    with pytest.raises(NotFound):
        listing(folder, root)
