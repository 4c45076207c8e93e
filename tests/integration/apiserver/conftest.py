"""What the API server's tests stand on: an etcd of our own, the application in this process, and the real server.

``api`` is the Flask application on either store, asked through Flask's test client; ``served`` is the process
``python -m apiserver`` with TLS and two workers, asked over the network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from integration.served import ADMIN, TOKENS, Answer, Etcd, Pki, Served, running_etcd

from apiserver.assembly import Server, assemble
from apiserver.config import Config
from apiserver.storage.etcd import EtcdStore
from apiserver.storage.memory import MemoryStore


@pytest.fixture(scope="session")
def etcd() -> Iterator[Etcd]:
    with running_etcd() as server:
        yield server


@pytest.fixture
def own_etcd() -> Iterator[Etcd]:
    """An etcd that the test may kill."""
    with running_etcd() as server:
        yield server


class Api:
    """The application in this process; as administrator unless other headers are given."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.app: Flask = server.wsgi
        self._client = self.app.test_client()

    def __call__(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, **more: str
    ) -> Answer:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {**ADMIN, "Content-Type": "application/json", **(headers or {}), **more}
        response = self._client.open(path, method=method, data=data, headers=sent)
        answer = Answer(response.status_code, response.headers, response.get_data())
        response.close()
        return answer

    def follow(self, path: str) -> Generator[Any, None, None]:
        """What a watch says, as it says it; closing the generator ends it."""
        response = self._client.get(path, headers=ADMIN)
        try:
            for chunk in response.iter_encoded():
                yield from (json.loads(line) for line in chunk.splitlines())
        finally:
            response.close()

    def events(self, path: str, count: int = 0) -> list[Any]:
        """What a watch says: the first ``count`` events, or everything until it ends by itself."""
        response = self._client.get(path, headers=ADMIN)
        found: list[Any] = []
        for chunk in response.iter_encoded():
            found += [json.loads(line) for line in chunk.splitlines()]
            if count and len(found) >= count:
                break
        response.close()
        return found


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tokens") / "tokens.csv"
    file.write_text(TOKENS)
    return file


@pytest.fixture(scope="module", params=["memory", "etcd"])
def api(request: pytest.FixtureRequest, tokens: Path, pki: Pki) -> Iterator[Api]:
    store = MemoryStore() if request.param == "memory" else EtcdStore(request.getfixturevalue("etcd").server)
    config = Config(
        token_auth_file=tokens,
        service_account_key_file=pki.account_key,
        service_account_signing_key_file=pki.account_key,
    )
    server = assemble(config, store)
    server.start()
    assert server.bootstrapped.wait(30), "its own objects are not there"
    yield Api(server)
    server.stop()


@pytest.fixture
def namespace(api: Api) -> Iterator[str]:
    """A namespace of the test's own."""
    name = api("POST", "/api/v1/namespaces", {"metadata": {"generateName": "test-"}}).json["metadata"]["name"]
    api("POST", f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "default"}})
    yield name
    for plural in ("pods", "configmaps", "serviceaccounts", "services"):
        for item in api("GET", f"/api/v1/namespaces/{name}/{plural}").json["items"]:
            api("DELETE", f"/api/v1/namespaces/{name}/{plural}/{item['metadata']['name']}?gracePeriodSeconds=0")


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def start_served(pki: Pki, tokens: Path, tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts servers of the test's own, and stops those that it left running."""
    started: list[Served] = []

    def start(etcd: Etcd, its_pki: Pki = pki) -> Served:
        started.append(Served(etcd.server, its_pki, tokens, tmp_path / f"apiserver{len(started)}.log"))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def make_pki() -> type[Pki]:
    return Pki


@pytest.fixture
def served(served_by_two: Served) -> Iterator[Served]:
    yield served_by_two
    served_by_two.hang_up()


@pytest.fixture(scope="module")
def served_by_two(etcd: Etcd, pki: Pki, tokens: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(etcd.server, pki, tokens, tmp_path_factory.mktemp("log") / "apiserver.log")
    yield server
    server.stop()
