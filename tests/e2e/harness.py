"""What the end-to-end tests drive: the cluster through its command line, and kubectl binaries."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from cluster import lock, table
from cluster.processes import Process
from cluster.settings import REPOSITORY, State

CACHE = REPOSITORY / ".cache"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# The generations of kubectl that the cluster must serve, each with its minor versions, and the Debian release and
# package that have one.
GENERATIONS = {"1.20": (0, 23, "bookworm", "kubernetes-client"), "1.32": (32, 99, "trixie", "kubectl")}


T = TypeVar("T")
VIP = "http://172.30.40.155/endpoint0"  # of the demo's Service


def eventually(ask: Callable[[], T | None], seconds: float = 60) -> T:
    """The first answer that is not empty; what happens in another process can only be asked for."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"it did not become so within {seconds:.0f} s"
        time.sleep(0.05)


def vip_answers() -> bool:
    try:
        with urllib.request.urlopen(VIP, timeout=2) as answer:
            return b"all is well" in answer.read()
    except OSError:
        return False


class Cluster(NamedTuple):
    """The cluster under test, driven through its command line."""

    state: State

    @property
    def kubeconfig(self) -> Path:
        return self.state.kubeconfig

    def run(self, *words: str, timeout: float = 180) -> subprocess.CompletedProcess[str]:
        """``mini-minishift`` with these words."""
        command = [sys.executable, "-m", "cluster", "--state-dir", str(self.state.root), *words]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=timeout, check=False)

    def must(self, *words: str) -> str:
        result = self.run(*words)
        assert result.returncode == 0, f"mini-minishift {' '.join(words)}:\n{result.stdout}{result.stderr}"
        return result.stdout

    def processes(self) -> dict[str, Process]:
        """What the supervisor runs now, by component."""
        return {row.name: Process(row.pid, row.start) for row in table.read(self.state) if row.runs}

    def is_running(self) -> bool:
        holder = lock.holder()
        return holder is not None and holder.state == str(self.state.root)


def play_article(cluster: Cluster, kubectl: Path, folder: Path) -> None:
    """Play the article with this kubectl as ``make walkthrough`` does; raise AssertionError where it differs.

    ``folder`` gets a link named kubectl and goes to the front of the PATH.
    """
    (folder / "kubectl").symlink_to(kubectl)
    played = subprocess.run(
        [sys.executable, REPOSITORY / "demo" / "play.py", f"--kubeconfig={cluster.kubeconfig}"],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert played.returncode == 0, played.stdout + played.stderr


class Kubectl(NamedTuple):
    """One kubectl binary on the cluster under test."""

    path: Path
    kubeconfig: Path
    namespace: str = "default"

    def run(self, *words: str, stdin: str = "", timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.path, f"--namespace={self.namespace}", *words],
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def __call__(self, *words: str, stdin: str = "", timeout: float = 120) -> str:
        """What it prints; it must succeed."""
        result = self.run(*words, stdin=stdin, timeout=timeout)
        assert result.returncode == 0, f"kubectl {' '.join(words)}:\n{result.stdout}{result.stderr}"
        return result.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--output=json"))

    def fails(self, *words: str, stdin: str = "") -> str:
        """What it prints on stderr; it must fail."""
        result = self.run(*words, stdin=stdin)
        assert result.returncode != 0, f"kubectl {' '.join(words)} did not fail:\n{result.stdout}"
        return result.stderr


def minor(kubectl: Path) -> int | None:
    """The minor version of a binary; None when it is not a kubectl."""
    try:
        result = subprocess.run(
            [kubectl, "version", "--client", "--output=json"], capture_output=True, text=True, timeout=30, check=False
        )
        return int(re.sub(r"\D", "", json.loads(result.stdout)["clientVersion"]["minor"]))
    except (OSError, ValueError, KeyError, subprocess.TimeoutExpired):
        return None


def installed_kubectls() -> list[Path]:
    """Every kubectl on the PATH, and those beside the file that it leads to: some packages bring several."""
    folders = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep) if folder]
    chosen = shutil.which("kubectl")
    if chosen:
        folders.append(Path(chosen).resolve().parent)
    found = [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("kubectl*"))]
    return [path for path in dict.fromkeys(found) if re.fullmatch(r"kubectl[.\d-]*", path.name)]


def debians_kubectl(suite: str, package: str) -> Path | None:
    """The kubectl of one of Debian's releases, unpacked into the cache; nothing of it is installed.

    apt gets a list of sources and a state of its own for this, with the mirror that the machine uses anyway.
    """
    folder = CACHE / "kubectl" / suite
    binary = folder / "usr" / "bin" / "kubectl"
    if not binary.exists() and (mirror := _mirror()):
        (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} {suite} main\n")
        settings = {
            "Dir::Etc::SourceList": "sources.list",
            "Dir::Etc::SourceParts": "none",
            "Dir::State::Lists": "lists",
        }
        options = [f"--option={name}={folder / value}" for name, value in settings.items()]
        options.append("--option=Dir::State::Status=/dev/null")  # else an installed one of another release is preferred
        for words in (["update"], ["download", package]):
            subprocess.run(["apt-get", *options, *words], cwd=folder, capture_output=True, check=False)
        for archive in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", archive, folder], check=True)
    return binary if binary.exists() else None


def _mirror() -> str:
    """Where this machine gets Debian's packages from; empty when it is no Debian."""
    if shutil.which("apt-get") is None:
        return ""
    command = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Origin: Debian"]
    sites = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    return next((site for site in sites if "security" not in site), "")


def kubectls() -> dict[str, Path]:
    """Generation → the oldest binary of it, for those that this machine has or can get."""
    installed = [(version, path) for path in installed_kubectls() if (version := minor(path)) is not None]
    chosen: dict[str, Path] = {}
    for name, (low, high, suite, package) in GENERATIONS.items():
        fitting = sorted((version, path) for version, path in installed if low <= version <= high)
        found = fitting[0][1] if fitting else debians_kubectl(suite, package)
        if found is not None:
            chosen[name] = found
    return chosen
