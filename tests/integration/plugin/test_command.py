"""``mini-minishift api``: what it says, what it writes, and that it leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from mini_minishift.run import isolated

FOREIGN = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "work", "cluster": {"server": "https://work"}}],
    "users": [{"name": "me", "user": {"token": "t"}}],
    "contexts": [{"name": "work", "context": {"cluster": "work", "user": "me"}}],
    "current-context": "work",
}


class Command:
    """``mini-minishift api …`` in a process; what it has said so far."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        argv, environment = isolated("mini_minishift.cli", "api", *arguments)
        inherited = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
        self.process = subprocess.Popen(
            argv,
            env={**inherited, **environment, "TMPDIR": str(folder), "HOME": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = ""

    def wait_for(self, words: str) -> str:
        """Reads on until a line has these words."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.said += line
            if words in line:
                return line
        raise AssertionError(f"it ended with {self.process.wait(10)} and never said {words!r}:\n{self.said}")

    def end(self, number: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=20)
        self.said += rest
        return self.process.returncode


Begin = Callable[..., Command]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    begun: list[Command] = []

    def begin(*arguments: str) -> Command:
        begun.append(Command(tmp_path, *arguments))
        return begun[-1]

    yield begin
    for command in begun:
        command.end()


def kubectl(kubeconfig: str | Path, *arguments: str) -> str:
    environment = {"KUBECONFIG": str(kubeconfig), "PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    return subprocess.run(
        ["kubectl", *arguments], env=environment, check=True, capture_output=True, text=True, timeout=30
    ).stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_it_says_what_to_type_and_leaves_nothing(begin: Begin, tmp_path: Path, number: int) -> None:
    command = begin()
    assert re.search(r"Ready in \d+\.\d s at https://127\.0\.0\.1:\d+\.", command.wait_for("Ready in"))
    exported = command.wait_for("export KUBECONFIG=").strip().removeprefix("export KUBECONFIG=")
    if number == signal.SIGINT:
        assert "kube-system" in kubectl(exported, "get", "namespaces", "--output=name")
    assert command.end(number) == 0
    assert "Nothing is left" in command.said
    assert list(tmp_path.iterdir()) == []


def test_ended_while_it_starts_it_leaves_nothing_either(begin: Begin, tmp_path: Path) -> None:
    command = begin()
    command.wait_for("certificates")
    assert command.end() in (0, 1)
    assert "Traceback" not in command.said
    assert list(tmp_path.iterdir()) == []


def test_the_users_kubeconfig_has_its_context_meanwhile(begin: Begin, tmp_path: Path) -> None:
    users = tmp_path / "config"
    users.write_text(yaml.safe_dump(FOREIGN))
    command = begin(f"--kubeconfig={users}")
    assert f"export KUBECONFIG={users}" in command.wait_for("export KUBECONFIG=")
    merged = yaml.safe_load(users.read_text())
    assert merged["current-context"] == "mini-minishift-api"
    assert [each["name"] for each in merged["contexts"]] == ["work", "mini-minishift-api"]
    command.end()
    assert yaml.safe_load(users.read_text()) == FOREIGN


@pytest.mark.parametrize("store", ["memory", pytest.param("etcd", marks=pytest.mark.etcd)])
def test_a_data_directory_brings_the_objects_back(begin: Begin, tmp_path: Path, store: str) -> None:
    flags = f"--data-dir={tmp_path}/data", f"--store={store}"
    first = begin(*flags)
    first.wait_for("Ready in")
    kubectl(tmp_path / "data" / "kubeconfig", "create", "configmap", "kept")
    assert first.end() == 0
    assert f"{tmp_path}/data keeps its data" in first.said
    hasty = begin(*flags)
    hasty.wait_for("certificates")
    hasty.end()  # before it has begun, it loses nothing
    second = begin(*flags, "--controllers=none")
    second.wait_for("Ready in")
    assert "configmap/kept" in kubectl(tmp_path / "data" / "kubeconfig", "get", "configmap", "--output=name")


def test_two_do_not_share_a_data_directory(begin: Begin, tmp_path: Path) -> None:
    first = begin(f"--data-dir={tmp_path}/data")
    first.wait_for("Ready in")
    second = begin(f"--data-dir={tmp_path}/data")
    second.wait_for(f"Error: a server is running on {tmp_path}/data: end it, or choose another folder")
    assert second.end() == 1


def test_a_taken_port_is_told_in_a_line(begin: Begin, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        command = begin(f"--port={port}")
        command.wait_for(f"Error: cannot listen on 127.0.0.1:{port}: Address already in use. Choose another port")
        assert command.end() == 1
    assert "Traceback" not in command.said
    assert list(tmp_path.iterdir()) == []


def test_interrupted_while_it_cleans_up_it_leaves_nothing_either(begin: Begin, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        command = begin(f"--port={other.getsockname()[1]}")
        command.wait_for("Error: cannot listen")
        while command.process.poll() is None:
            command.process.send_signal(signal.SIGINT)
        assert command.end() == 1
    assert "Traceback" not in command.said
    assert list(tmp_path.iterdir()) == []


def test_the_help_names_each_default() -> None:
    argv, environment = isolated("mini_minishift.cli", "api", "--help")
    text = subprocess.run(argv, env={**os.environ, **environment}, capture_output=True, text=True, check=True).stdout
    text = re.sub(r"\s+", " ", text)
    assert text.startswith("Usage: mini-minishift api [OPTIONS]")
    for words in ("[default: (a free one)", "[default: memory]", "[default: etcd]", "[default: *]"):
        assert words in text
