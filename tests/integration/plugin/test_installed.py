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
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
NOBODY = 65534
DEPENDENCIES = Path(pytest.__file__).parents[1]
OURS = ("apiserver", "controllers", "kubelet", "proxy", "machinery", "cluster")


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
def environment(folder: Path, wheel: Path) -> Path:
    """A virtual environment with the wheel in it; what we stand on is taken from where these tests have it."""
    venv = folder / "venv"
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", venv], check=True)
    pip = [sys.executable, "-m", "pip", f"--python={venv}/bin/python", "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*pip, wheel], check=True)
    (packages,) = venv.glob("lib/python3*/site-packages")
    (packages / "dependencies.pth").write_text(f"{DEPENDENCIES}\n")
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


def begin(project: Path, *command: str | Path) -> subprocess.Popen[str]:
    variables = {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(project.parent / "home"),
        "PYTHONPATH": str(project),
    }
    return subprocess.Popen(
        [*PREFIX, *command], cwd=project, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
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


def test_a_project_with_packages_of_our_names_uses_the_plugin(environment: Path, project: Path) -> None:
    (project / "test_project.py").write_text(
        "import apiserver, cluster, controllers, kubelet, machinery, os, proxy\n"
        "def test_one(kube_server, kube_namespace):\n"
        "    for package in (apiserver, cluster, controllers, kubelet, machinery, proxy):\n"
        "        assert package.OWNER == f'the user, of {package.__name__}'\n"
        "    assert kube_server.create_namespace() != kube_namespace\n"
        f"    assert os.geteuid() == {NOBODY if PREFIX else os.geteuid()}\n"
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
