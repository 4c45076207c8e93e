"""What a process's control group has used, read from the kernel's files: both versions of cgroups, and the mixed one.

A reading takes a tenth of a millisecond. Docker tells the same, but lets whoever asks again wait for its next sample, a
second at most.
"""

from __future__ import annotations

from pathlib import Path

from kubelet.model.streaming import ContainerUsage

ROOT = Path("/sys/fs/cgroup")
PROC = Path("/proc")


def usage(pid: int, root: Path = ROOT, proc: Path = PROC) -> ContainerUsage | None:
    """Return the usage of the control group that a process is in.

    None if the group is gone, or cannot be seen from here.
    """
    try:
        folders = _folders((proc / str(pid) / "cgroup").read_text(), root)
        if "cpuacct" in folders and "memory" in folders:
            memory = folders["memory"]
            inactive = _field(memory / "memory.stat", "total_inactive_file")
            return _usage(
                _number(folders["cpuacct"] / "cpuacct.usage"), _number(memory / "memory.usage_in_bytes"), inactive
            )
        group = folders[""]
        inactive = _field(group / "memory.stat", "inactive_file")
        return _usage(_field(group / "cpu.stat", "usage_usec") * 1000, _number(group / "memory.current"), inactive)
    except (OSError, ValueError, KeyError):
        return None


def _usage(nanoseconds: int, memory: int, inactive: int) -> ContainerUsage:
    return ContainerUsage(nanoseconds, memory, max(0, memory - inactive))


def _folders(groups: str, root: Path) -> dict[str, Path]:
    """Return the folder of each controller. That of "" is version 2's, for all controllers without one of their own."""
    found = {}
    for line in groups.splitlines():
        _, names, path = line.split(":", 2)
        if "/.." in path:
            raise ValueError("the group is outside of what this process sees")
        for name in names.split(","):
            # Where both versions are mounted, the second is below the first's folders.
            folder = root / name if name else root
            found[name] = folder / path.strip("/")
    return found


def _number(path: Path) -> int:
    return int(path.read_text())


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(f"{name} "):
            return int(line.split()[1])
    raise KeyError(name)
