"""hostPath volumes: the type that the pod asks for is checked, or the directory or file is made."""

from __future__ import annotations

from pathlib import Path

from kubelet.volumes.mounting import VolumeError

_TYPES = {
    "Directory": (Path.is_dir, "directory"),
    "DirectoryOrCreate": (Path.is_dir, "directory"),
    "File": (Path.is_file, "file"),
    "FileOrCreate": (Path.is_file, "file"),
    "Socket": (Path.is_socket, "socket file"),
    "CharDevice": (Path.is_char_device, "character device"),
    "BlockDevice": (Path.is_block_device, "block device"),
}


def prepare(path: Path, kind: str) -> None:
    """Create the directory or file if its type allows that, and raise VolumeError if it is of another type.

    Without a type nothing is checked, and a path that does not exist becomes a directory (in upstream the runtime does
    that).
    """
    if kind and kind not in _TYPES:
        raise VolumeError(f"hostPath type check failed: {kind} is not a type of hostPath")
    if kind in ("", "DirectoryOrCreate") and not path.exists():
        path.mkdir(mode=0o755, parents=True)
    elif kind == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    if kind:
        check, noun = _TYPES[kind]
        if not check(path):
            raise VolumeError(f"hostPath type check failed: {path} is not a {noun}")
