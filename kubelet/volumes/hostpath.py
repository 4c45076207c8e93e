"""hostPath volumes: the type that the pod asks for is checked, or the directory or file is made."""

from __future__ import annotations

from pathlib import Path

from kubelet.volumes.mounting import VolumeError

_CHECKS = {
    "Directory": (Path.is_dir, "directory"),
    "File": (Path.is_file, "file"),
    "Socket": (Path.is_socket, "socket file"),
    "CharDevice": (Path.is_char_device, "character device"),
    "BlockDevice": (Path.is_block_device, "block device"),
}


def prepare(path: Path, kind: str) -> None:
    """Without a type nothing is checked, and a path that does not exist becomes a directory (the runtime's doing
    in upstream)."""
    if kind in ("", "DirectoryOrCreate"):
        if kind and path.exists() and not path.is_dir():
            raise VolumeError(f"hostPath type check failed: {path} is not a directory")
        if not path.exists():
            path.mkdir(mode=0o755, parents=True)
        return
    if kind == "FileOrCreate":
        if path.exists() and not path.is_file():
            raise VolumeError(f"hostPath type check failed: {path} is not a file")
        if not path.exists():
            path.touch(mode=0o644)
        return
    if kind not in _CHECKS:
        raise VolumeError(f"hostPath type check failed: {kind} is not a type of hostPath")
    check, noun = _CHECKS[kind]
    if not check(path):
        raise VolumeError(f"hostPath type check failed: {path} is not a {noun}")
