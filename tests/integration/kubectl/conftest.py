"""Both generations of kubectl against the API server alone: in memory, over TLS, without root, Docker or etcd."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e import harness
from e2e.harness import Kubectl

from cluster import pki
from cluster.settings import REPOSITORY, State

TOKENS = 'admin-token,admin,1,"system:masters"\n'
READY = re.compile(r"serving on (https://127\.0\.0\.1:\d+)")


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The URL of a running API server, and who signed its certificate."""
    folder = tmp_path_factory.mktemp("api")
    state = State(folder / "state")
    state.root.mkdir(mode=0o700)
    pki.ensure(state, "node", "127.0.0.1")
    tokens = folder / "tokens.csv"
    tokens.write_text(TOKENS)
    command = [
        sys.executable, "-m", "apiserver", "--etcd-servers=memory", "--secure-port=0", "--workers=1",
        f"--tls-cert-file={state.pki}/apiserver.crt", f"--tls-private-key-file={state.pki}/apiserver.key",
        f"--token-auth-file={tokens}", f"--service-account-key-file={state.pki}/sa.pub",
        f"--service-account-signing-key-file={state.pki}/sa.key",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines: list[str] = []
    # It writes this line once it listens; a server that dies closes the pipe.
    for line in process.stderr:
        lines.append(line)
        if found := READY.search(line):
            break
    else:
        pytest.fail("".join(lines))
    yield found[1], state.pki / "ca.crt"
    process.terminate()
    process.communicate(timeout=20)


@pytest.fixture(scope="session")
def kubectls() -> dict[str, Path]:
    return harness.kubectls()


@pytest.fixture(scope="session", params=list(harness.GENERATIONS))
def kubectl(
    request: pytest.FixtureRequest,
    api: tuple[str, Path],
    kubectls: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Kubectl:
    """kubectl of each generation in turn, in a namespace of its own, where pods may be created."""
    if request.param not in kubectls:
        pytest.skip(f"NOT RUN: no kubectl of generation {request.param} on this machine")
    url, authority = api
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url, "certificate-authority": str(authority)}}],
        "users": [{"name": "u", "user": {"token": "admin-token"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = tmp_path_factory.mktemp("kubectl") / "kubeconfig"
    path.write_text(json.dumps(config))
    kubectl = Kubectl(kubectls[request.param], path, f"kubectl-{request.param.replace('.', '-')}")
    harness.eventually(lambda: kubectl.run("get", "--raw=/readyz").returncode == 0)
    kubectl("create", "namespace", kubectl.namespace)
    kubectl("create", "serviceaccount", "default")
    return kubectl


@pytest.fixture
def is_new(kubectl: Kubectl) -> bool:
    """Whether this kubectl leaves validation to the server."""
    version = harness.minor(kubectl.path)
    return version is not None and version >= harness.GENERATIONS["1.32"][0]
