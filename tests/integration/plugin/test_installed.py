"""The package as pip installs it: from a source distribution through a wheel into an environment of its own.

There it serves a project whose own packages have the names of our folders, run by somebody who is not root and whose
home cannot be written to.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from machinery.version import VERSION

REPOSITORY = Path(__file__).parents[3]
NOBODY = 65534
DEPENDENCIES = Path(pytest.__file__).parents[1]
OURS = ("apiserver", "controllers", "kubelet", "proxy", "machinery", "cluster")
# What the pytest plugin must not bring along, by the names that pip and that Python have for it.
CLUSTER_ONLY = {"docker": "docker", "etcd3": "etcd3", "grpcio": "grpc", "hpack": "hpack", "pyroute2": "pyroute2"}


# setpriv itself still starts what only root may start: so it starts env.
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--", "env"]


def who_and_how() -> tuple[list[str], str]:
    """What to put before a command so that somebody without rights runs it, and a Python that he may run.

    Where only root may read the tests' own packages, it is root who runs it: the rest is tested all the same.
    """
    base = str(getattr(sys, "_base_executable", sys.executable))
    ways = [(AS_NOBODY, base), (AS_NOBODY, "/usr/bin/python3")] if os.geteuid() == 0 else []
    program = "import orjson, cryptography.hazmat.bindings._rust, flask"
    for prefix, python in ways:
        found = subprocess.run(
            [*prefix, python, "-c", program], env={"PYTHONPATH": str(DEPENDENCIES)}, cwd="/", capture_output=True
        )
        if found.returncode == 0:
            return prefix, python
    return [], base


PREFIX, PYTHON = who_and_how()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="installed-"))  # pytest's own can be entered by its owner alone
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def wheel(folder: Path) -> Path:
    build = [sys.executable, "-m", "hatchling", "build", "--target=sdist", f"--directory={folder}"]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    (source,) = folder.glob("*.tar.gz")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    subprocess.run([*pip, f"--wheel-dir={folder}", source], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def needed(requirements: list[str], extras: set[str]) -> set[str]:
    """Return the names of all distributions that pip would install for these requirements with these extras."""
    found: set[str] = set()
    waiting = [(text, frozenset(extras)) for text in requirements]
    done = set(waiting)
    while waiting:
        text, wanted = waiting.pop()
        requirement = Requirement(text)
        marker = requirement.marker
        if marker and not any(marker.evaluate({"extra": extra}) for extra in {"", *wanted}):
            continue
        name = canonicalize_name(requirement.name)
        if name == "mini-minishift":  # an extra of ours that names another one
            more = [(each, frozenset(requirement.extras)) for each in requirements]
        else:
            found.add(name)
            more = [(each, frozenset(requirement.extras)) for each in distribution(name).requires or ()]
        waiting += [each for each in more if each not in done]
        done.update(more)
    return found


def link(names: set[str], folder: Path) -> None:
    """Fill the folder with links to the files of these distributions, where the tests' own environment has them."""
    for name in names:
        for file in distribution(name).files or ():
            if ".." not in file.parts:
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(file.locate())


@pytest.fixture(scope="module")
def environment(folder: Path, wheel: Path, metadata: Message) -> Path:
    """A virtual environment with what ``pip install 'mini-minishift[pytest]'`` puts there, and nothing else."""
    venv = folder / "venv"
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", venv], check=True)
    pip = [sys.executable, "-m", "pip", f"--python={venv}/bin/python", "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*pip, wheel], check=True)
    (packages,) = venv.glob("lib/python3*/site-packages")
    link(needed(metadata.get_all("Requires-Dist", []), {"pytest"}), packages)
    return venv


@pytest.fixture
def project(folder: Path) -> Iterator[Path]:
    """A project whose packages are called as ours are, and whose flask.py is not Flask."""
    made = folder / "project"
    for name in OURS:
        (made / name).mkdir(parents=True)
        (made / name / "__init__.py").write_text(f"OWNER = 'the user, of {name}'\n")
    (made / "flask.py").write_text("raise ImportError('this is not Flask')\n")
    (folder / "home").mkdir(mode=0o555)
    yield made
    shutil.rmtree(made)
    (folder / "home").rmdir()


def begin(project: Path, *command: str | Path, prefix: list[str] = PREFIX) -> subprocess.Popen[str]:
    variables = {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(project.parent / "home"),
        "PYTHONPATH": str(project),
    }
    return subprocess.Popen(
        [*prefix, *command], cwd=project, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_the_wheel_takes_one_name_of_site_packages(wheel: Path) -> None:
    names = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"mini_minishift"}


def test_what_the_wheel_holds_is_what_the_repository_has(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for name in OURS:
        files = {f"mini_minishift/{path.relative_to(REPOSITORY)}" for path in (REPOSITORY / name).glob("**/*.py")}
        assert files, name
        assert files <= inside
    assert "mini_minishift/sample-app/sise.py" in inside  # of which `up` builds an image


def test_the_wheel_has_a_licence_and_the_version_that_the_command_tells(metadata: Message, wheel: Path) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in zipfile.ZipFile(wheel).namelist())
    assert metadata["Version"] == VERSION
    assert f"## {VERSION}" in (REPOSITORY / "CHANGELOG.md").read_text()


def test_the_plugin_brings_nothing_that_only_a_cluster_needs(metadata: Message) -> None:
    requirements = metadata.get_all("Requires-Dist", [])
    assert needed(requirements, {"pytest"}).isdisjoint(CLUSTER_ONLY)
    assert needed(requirements, {"etcd"}).intersection(CLUSTER_ONLY) == {"etcd3", "grpcio", "hpack"}
    assert needed(requirements, {"cluster"}).issuperset(CLUSTER_ONLY)


@pytest.mark.parametrize(
    ("command", "missing", "extra"),
    [
        (["bin/mini-minishift", "up"], "etcd3, hpack, docker, pyroute2", "cluster"),
        (["bin/mini-minishift", "api", "--store=etcd"], "etcd3, hpack", "etcd"),
    ],
)
def test_a_command_names_the_extra_that_it_lacks(
    environment: Path, project: Path, command: list[str], missing: str, extra: str
) -> None:
    with begin(project, environment / command[0], *command[1:], prefix=[]) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    install = f"pip install 'mini-minishift[{extra}]'"
    assert f"Error: {missing} cannot be imported. Install what this needs: {install}\n" in said


def test_a_project_with_packages_of_our_names_uses_the_plugin(environment: Path, project: Path) -> None:
    (project / "test_project.py").write_text(
        "import apiserver, cluster, controllers, kubelet, machinery, os, proxy\n"
        "def test_one(kube_server, kube_namespace):\n"
        "    for package in (apiserver, cluster, controllers, kubelet, machinery, proxy):\n"
        "        assert package.OWNER == f'the user, of {package.__name__}'\n"
        "    assert kube_server.create_namespace() != kube_namespace\n"
        f"    assert os.geteuid() == {NOBODY if PREFIX else os.geteuid()}\n"
        "    from importlib.util import find_spec\n"
        f"    assert not [name for name in {[*CLUSTER_ONLY.values()]} if find_spec(name)]\n"
    )
    with begin(project, environment / "bin" / "python", "-m", "pytest", "-p", "no:cacheprovider", "-q") as process:
        said, _ = process.communicate(timeout=60)
    assert "1 passed" in said, said


def test_the_command_works_there_too(environment: Path, project: Path) -> None:
    process = begin(project, environment / "bin" / "mini-minishift", "api")
    said = []
    with process:
        assert process.stdout
        for line in process.stdout:
            said.append(line)
            if line.startswith("Ctrl-C"):
                process.send_signal(signal.SIGINT)
    assert process.returncode == 0, "".join(said)
    assert said[-1] == "Ended. Nothing is left of it.\n"
