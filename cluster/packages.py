"""Find out which Debian packages a cluster needs and the machine lacks, and install them.

A package is missing if one of its programs is. A program from elsewhere, say a newer Docker, is as good.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from cluster.errors import ClusterError

# Program → the package that has it.
PROGRAMS = {
    "dockerd": "docker.io",
    "etcd": "etcd-server",
    "iptables-save": "iptables",
    "ip": "iproute2",
    "busybox": "busybox-static",
    "conntrack": "conntrack",
    "curl": "curl",
    "kubectl": "kubernetes-client",
}


class InstallationFailed(ClusterError):
    """apt-get failed; the message has the end of its output, and what to try."""


def missing(find: Callable[[str], str | None] = shutil.which) -> list[str]:
    return sorted({package for program, package in PROGRAMS.items() if find(program) is None})


def search_path() -> None:
    """Add the system folders to PATH; a user's shell under sudo or su may lack them."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    lacking = [folder for folder in ("/usr/local/sbin", "/usr/sbin", "/sbin") if folder not in folders]
    os.environ["PATH"] = os.pathsep.join([*folders, *lacking])


def install(packages: list[str], log: Path) -> None:
    """Install packages with apt-get. Raises InstallationFailed."""
    by_hand = f"apt-get install {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        raise InstallationFailed(f"missing: {', '.join(packages)}, and there is no apt-get here. Install them by hand")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with log.open("ab") as output:
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
            result = subprocess.run(["apt-get", "-q", *command], stdout=output, stderr=output, env=environment)
    if result.returncode != 0:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
        raise InstallationFailed(f"{by_hand} failed (all of it in {log}):\n{last}")
