"""Health: what is checked, what is said to whom, and what is counted."""

from __future__ import annotations

import logging
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from apiserver.api import health
from apiserver.api.health import HealthChecks
from apiserver.storage.protocol import Unavailable
from machinery.errors import NotFound


class Fake:
    """The parts of a server that health asks."""

    def __init__(self) -> None:
        self.cache = SimpleNamespace(revision=7, stopping=False)
        self.bootstrapped = threading.Event()
        self.bootstrapped.set()
        self.store = self
        self.away = False

    def revision(self) -> int:
        if self.away:
            raise Unavailable("etcd does not answer: refused")
        return 7


@pytest.fixture
def fake() -> Fake:
    return Fake()


def ask(fake: Fake, path: str) -> tuple[int, str]:
    path, _, query = path.partition("?")
    endpoint, _, check = path.strip("/").partition("/")
    response = HealthChecks(cast(Any, fake), cast(Any, fake.cache), fake.bootstrapped).answer(endpoint, check, query)
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    return response.status_code, response.get_data(as_text=True)


@pytest.mark.parametrize("endpoint", ["livez", "readyz", "healthz"])
def test_all_is_well(fake: Fake, endpoint: str) -> None:
    assert ask(fake, endpoint) == (200, "ok")


def test_verbose(fake: Fake) -> None:
    assert ask(fake, "/livez?verbose") == (200, """\
[+]ping ok
[+]log ok
[+]etcd ok
[+]poststarthook/bootstrap-controller ok
[+]poststarthook/rbac/bootstrap-roles ok
[+]poststarthook/scheduling/bootstrap-system-priority-classes ok
livez check passed
""")  # fmt: skip
    assert "[+]informer-sync ok\n" in ask(fake, "/readyz?verbose=1")[1]


def test_a_failure_is_told_without_its_reason_and_logged_with_it(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    fake.away = True
    code, text = ask(fake, "/livez")
    assert code == 500
    assert "[+]log ok\n[-]etcd failed: reason withheld\n" in text
    assert text.endswith("livez check failed\n")
    assert "refused" not in text
    assert "livez check failed: etcd: etcd does not answer: refused" in caplog.text


def test_checks_by_themselves(fake: Fake) -> None:
    assert ask(fake, "/readyz/poststarthook/rbac/bootstrap-roles") == (200, "ok")
    fake.away = True
    assert ask(fake, "/readyz/ping") == (200, "ok")
    assert ask(fake, "/readyz/etcd") == (500, "internal server error: etcd does not answer: refused\n")
    with pytest.raises(NotFound):
        ask(fake, "/livez/informer-sync")


def test_checks_are_excluded_one_by_one(fake: Fake) -> None:
    fake.away, fake.cache.stopping = True, True
    assert ask(fake, "/readyz?exclude=etcd")[0] == 500
    assert ask(fake, "/readyz?exclude=etcd&exclude=etcd-readiness&exclude=shutdown") == (200, "ok")
    text = ask(fake, "/readyz?verbose&exclude=etcd&exclude=etcd-readiness&exclude=shutdown&exclude=b&exclude=a")[1]
    assert "[+]etcd excluded: ok\n" in text
    assert 'warn: some health checks cannot be excluded: no matches for "a","b"\nreadyz check passed\n' in text


def test_not_ready_before_everything_is_there_nor_while_stopping(fake: Fake) -> None:
    fake.cache.stopping = True
    assert "[-]shutdown failed" in ask(fake, "/readyz")[1]
    assert ask(fake, "/livez") == (200, "ok")
    fake.cache.stopping, fake.cache.revision = False, 0
    assert "[-]informer-sync failed" in ask(fake, "/readyz")[1]
    fake.bootstrapped.clear()
    assert "[-]poststarthook/rbac/bootstrap-roles failed" in ask(fake, "/livez")[1]


def test_a_stuck_log(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LOG_SECONDS", 0.01)
    handler = logging.StreamHandler()
    logging.getLogger().addHandler(handler)
    stuck, done = threading.Event(), threading.Event()

    def write() -> None:
        with cast(Any, handler.lock):  # as while its stream takes no more
            stuck.set()
            done.wait(10)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert stuck.wait(10)
        assert "[-]log failed: reason withheld" in ask(fake, "/livez")[1]
        assert ask(fake, "/livez/log") == (500, "internal server error: logging blocked\n")
    finally:
        done.set()
        writer.join()
        logging.getLogger().removeHandler(handler)
    assert ask(fake, "/livez/log") == (200, "ok")
