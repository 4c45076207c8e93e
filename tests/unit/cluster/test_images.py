"""The images are the same bytes for the same files, whenever and wherever they are built."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from cluster.images import ImageSpec, archive, layer
from cluster.pythonfiles import libraries

FILES = {"/usr/bin/b": b"B", "/a": b"A"}


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        return {member.name: member for member in opened.getmembers()}


def read(data: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        file = opened.extractfile(name)
        assert file is not None
        return file.read()


def test_a_layer_has_parents_links_and_modes() -> None:
    found = members(layer(FILES, {"/bin/sh": "/bin/busybox"}, {"/tmp": 0o1777}))
    assert list(found) == ["a", "bin", "bin/sh", "tmp", "usr", "usr/bin", "usr/bin/b"]
    assert found["bin/sh"].linkname == "/bin/busybox"
    assert found["tmp"].mode == 0o1777
    assert found["usr/bin/b"].mode == 0o755
    assert {member.mtime for member in found.values()} == {0}
    assert {member.uid for member in found.values()} == {0}


def test_the_order_of_files_does_not_matter() -> None:
    assert layer(FILES, {}, {}) == layer(dict(reversed(FILES.items())), {}, {})


def test_an_archive_shares_layers_and_labels_each_image() -> None:
    base, above = layer(FILES, {}, {}), layer({"/c": b"C"}, {}, {})
    data = archive([ImageSpec("x:1", [base], {}), ImageSpec("y:2", [base, above], {"User": "7"})], "key")
    manifest = json.loads(read(data, "manifest.json"))
    assert [entry["RepoTags"] for entry in manifest] == [["x:1"], ["y:2"]]
    assert manifest[0]["Layers"][0] == manifest[1]["Layers"][0]
    config = json.loads(read(data, manifest[1]["Config"]))
    assert config["config"] == {"User": "7", "Labels": {"mini-minishift.key": "key"}}
    assert len(config["rootfs"]["diff_ids"]) == 2
    assert len([name for name in members(data) if name.endswith(".tar")]) == 2


def test_reads_what_ldd_prints() -> None:
    printed = """/usr/bin/python3.11:
\tlinux-vdso.so.1 (0x00007ffd)
\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f00)
\tlibgone.so => not found
\t/lib64/ld-linux-x86-64.so.2 (0x00007f01)
/usr/lib/x.so:
\tstatically linked
"""
    assert libraries(printed) == [Path("/lib/x86_64-linux-gnu/libm.so.6"), Path("/lib64/ld-linux-x86-64.so.2")]
