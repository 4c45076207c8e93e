"""The pytest plugin: fixtures for a Kubernetes API server that belongs to the test run. See docs/testing.md.

PYTEST_DONT_REWRITE: there are no assertions here. pytest loads this into every run where we are installed, so it
imports only pytest until a fixture is used.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from kubernetes.client import ApiClient

    from mini_minishift.testing import KubeServer

# Name, choices, default, help; each is an option (--kube-store) and an ini value (kube_store).
OPTIONS = (
    ("store", ("memory", "etcd"), "memory", "where the server keeps its objects"),
    ("etcd", None, "etcd", "the program that --kube-store=etcd starts"),
    ("controllers", None, "*", "which built-in controllers run: *, none, or a list such as *,-garbagecollector"),
    ("timeout", None, "30", "seconds that the server may take to be ready"),
    ("log-lines", None, "40", "lines of the server's log that a failed test shows; 0 shows none"),
)
# Fixtures that start a server. If a test with one of them fails, it shows what the server logged meanwhile.
STARTING = frozenset({"kube_server", "start_kube_server"})
# The running servers, each with the length that its log had when the present test began.
_SERVERS = pytest.StashKey[dict["KubeServer", int]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("kube", "a Kubernetes API server for tests (mini-minishift)")
    for name, choices, default, text in OPTIONS:
        help = f"{text} (default: {default}; ini: kube_{name.replace('-', '_')})"
        group.addoption(f"--kube-{name}", choices=choices, help=help)
        parser.addini(f"kube_{name.replace('-', '_')}", f"{text} (as --kube-{name})", default=default)
    parser.addini(
        "kube_crds", "manifests to apply before the first test, relative to this file", type="paths", default=[]
    )


@pytest.fixture(scope="session")
def kube_server(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[KubeServer]:
    """A Kubernetes API server for this test run (or this xdist worker)."""
    yield from _serving(pytestconfig, tmp_path_factory, {})


@pytest.fixture
def start_kube_server(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Callable[..., KubeServer]]:
    """Start a further server, which ends with the test: ``start_kube_server(store="etcd", controllers="none")``."""
    from contextlib import ExitStack, contextmanager

    with ExitStack() as stack:

        def start(**options: Any) -> KubeServer:
            return stack.enter_context(contextmanager(_serving)(pytestconfig, tmp_path_factory, options))

        yield start


@pytest.fixture
def kubeconfig(kube_server: KubeServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of an administrator's kubeconfig, to which KUBECONFIG is set during the test."""
    monkeypatch.setenv("KUBECONFIG", str(kube_server.kubeconfig))
    for library in ("kubernetes", "kubernetes_asyncio"):  # They read KUBECONFIG when they are imported.
        if module := sys.modules.get(f"{library}.config.kube_config"):
            monkeypatch.setattr(module, "KUBE_CONFIG_DEFAULT_LOCATION", str(kube_server.kubeconfig))
    # In a pod, perhaps one of a CI system, clients would prefer the cluster of the pod.
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_PORT", raising=False)
    return kube_server.kubeconfig


@pytest.fixture
def kube_namespace(kube_server: KubeServer) -> Iterator[str]:
    """The name of a new namespace, which is deleted after the test."""
    name = kube_server.create_namespace()
    yield name
    if kube_server.running:
        kube_server.delete_namespace(name)


@pytest.fixture(scope="session")
def kube_client(kube_server: KubeServer) -> Iterator[ApiClient]:
    """An ``ApiClient`` of the package ``kubernetes`` for the server, as administrator."""
    try:
        from kubernetes import config
    except ImportError:
        pytest.fail(
            "the fixture kube_client needs the package kubernetes: pip install kubernetes. For another client library "
            "use the fixture kubeconfig, the path of a file that all of them read, or kube_server.request()",
            pytrace=False,
        )
    client: ApiClient = config.new_client_from_config(str(kube_server.kubeconfig))
    with client:
        yield client


def _serving(config: pytest.Config, factory: pytest.TempPathFactory, overrides: dict[str, Any]) -> Iterator[KubeServer]:
    import shutil

    from mini_minishift.testing import KubeServer, ServerError

    chosen: dict[str, Any] = {name: _option(config, name) for name in ("store", "etcd", "controllers", "timeout")}
    try:
        chosen["timeout"] = float(chosen["timeout"])
        server = KubeServer(factory.mktemp("kube-server"), **(chosen | overrides)).start()
    except (ServerError, ValueError) as error:
        pytest.fail(f"the Kubernetes API server for tests: {error}", pytrace=False)
    servers = config.stash.setdefault(_SERVERS, {})
    try:
        server.apply(*config.getini("kube_crds"))
        servers[server] = server.log_size()
        yield server
    finally:
        servers.pop(server, None)
        server.close()
        shutil.rmtree(server.folder / "etcd", ignore_errors=True)  # pytest keeps the other files for some runs.


def _option(config: pytest.Config, name: str) -> str:
    given = config.getoption(f"--kube-{name}")
    return str(config.getini(f"kube_{name.replace('-', '_')}") if given is None else given)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    """Note the length of the servers' logs when a test begins."""
    servers = item.config.stash.get(_SERVERS, {})
    servers.update({server: server.log_size() for server in servers})


@pytest.hookimpl(hookwrapper=True)  # pytest 7 knows only this form.
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Add to the report of a failed test what its servers have logged since it began."""
    report = (yield).get_result()
    if not report.failed or STARTING.isdisjoint(getattr(item, "fixturenames", ())):
        return
    lines = int(_option(item.config, "log-lines"))
    for server, begin in item.config.stash.get(_SERVERS, {}).items() if lines else ():
        if said := server.log_tail(lines, begin):
            report.sections.append((f"Kubernetes API server at {server.url}", said))
