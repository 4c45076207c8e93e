"""A whole cluster for the tests, started through the same command as a user's, and both generations of kubectl.

It has a state directory and a kubeconfig of its own. Since a machine carries one cluster, one that runs already is
stopped for the time of the tests and brought back afterwards with its objects.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e import harness
from e2e.harness import Cluster, Kubectl

from cluster import lock
from cluster.settings import REPOSITORY, State


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster's place; whatever the tests leave of it is removed at the end."""
    before = lock.holder()
    if before is not None:
        Cluster(State(Path(before.state))).must("stop")
    folder = tmp_path_factory.mktemp("cluster")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(folder / "user-kubeconfig"))
        cluster = Cluster(State(folder / "state"))
        yield cluster
        cluster.must("down", "--keep-images")
    if before is not None:
        Cluster(State(Path(before.state))).must("up")


@pytest.fixture
def cluster(home: Cluster) -> Cluster:
    """The running cluster: started for the first test, and again after one that stopped it."""
    if not home.is_running():
        home.must("up")
    return home


@pytest.fixture(scope="session")
def kubectls() -> dict[str, Path]:
    return harness.kubectls()


@pytest.fixture(params=list(harness.GENERATIONS))
def kubectl_binary(request: pytest.FixtureRequest, kubectls: dict[str, Path]) -> Path:
    if request.param not in kubectls:
        pytest.skip(
            f"NOT RUN: no kubectl of generation {request.param} on this machine: {harness.installed_kubectls()}"
        )
    return kubectls[request.param]


@pytest.fixture
def kubectl(cluster: Cluster, kubectl_binary: Path) -> Iterator[Kubectl]:
    """kubectl of each generation in turn, in a namespace of its own."""
    namespace = f"test-{secrets.token_hex(4)}"
    kubectl = Kubectl(kubectl_binary, cluster.kubeconfig, namespace)
    kubectl("create", "namespace", namespace)
    yield kubectl
    if cluster.is_running():
        kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def newest(cluster: Cluster, kubectls: dict[str, Path]) -> Kubectl:
    """One kubectl, where its generation does not matter."""
    return Kubectl(kubectls[max(kubectls)], cluster.kubeconfig)


@pytest.fixture
def sise(newest: Kubectl) -> Kubectl:
    """The demo's pod and Service, answering."""
    kubectl = newest._replace(namespace="namingthings")
    files = ("namingthings", "sise", "simpleservice")
    kubectl("apply", *(f"--filename={REPOSITORY}/demo/{name}.yaml" for name in files))
    harness.eventually(harness.vip_answers)
    return kubectl
