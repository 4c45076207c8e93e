"""Clients without manners cost nobody else anything, and nothing for good."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from integration.load.rough import HEAD, Drip, Footprint, Tls, answer, drop, hello, say_no_more, tcp, wait_until_small
from integration.served import TOKENS, Etcd, Pki, Served

pytestmark = pytest.mark.etcd
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
BODY = b'{"metadata":{"name":"half"},"data":{"a":"b"}}'


@pytest.fixture(scope="module")
def served(etcd: Etcd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serving(etcd, tmp_path_factory.mktemp("served"), "--request-timeout=3s")


@pytest.fixture
def patient(etcd: Etcd, tmp_path: Path) -> Iterator[Served]:
    yield from serving(etcd, tmp_path, "--request-timeout=60s")


def serving(etcd: Etcd, folder: Path, *flags: str) -> Iterator[Served]:
    tokens = folder / "tokens.csv"
    tokens.write_text(TOKENS)
    (folder / "pki").mkdir()
    server = Served(etcd.server, Pki(folder / "pki"), tokens, folder / "log", *flags)
    yield server
    server.stop()


def there(served: Served) -> set[str]:
    return {item["metadata"]["name"] for item in served("GET", CONFIG_MAPS).json["items"]}


@pytest.mark.parametrize(
    "sent, code",
    [
        pytest.param(HEAD, b"", id="a head without an end"),
        pytest.param(HEAD[:30], b"", id="half a first line"),
        pytest.param(HEAD + b"Content-Length: 100\r\n\r\n" + BODY, b"400", id="a body that is too short"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2d\r\n" + BODY[:20], b"400", id="half a chunk"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2d\r\n" + BODY + b"\r\n", b"400", id="no last chunk"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + BODY, b"400", id="a chunk of no size"),
        pytest.param(HEAD + b"Content-Length: 20\r\n\r\n" + BODY[:20], b"400", id="JSON that is cut off"),
    ],
)
def test_half_a_request_is_none(served: Served, sent: bytes, code: bytes) -> None:
    with Tls(served)() as connection:
        connection.sendall(sent)
        say_no_more(connection)
        said = answer(connection)
    # Who breaks off TLS in the middle may hear nothing.
    assert said[9:12] in (b"", code), said
    assert "half" not in there(served)


def test_ten_thousand_connections_that_are_dropped_leave_nothing_behind(served: Served) -> None:
    greeting, connect, number = hello(served), Tls(served), count()
    half = HEAD + b"Content-Length: 100\r\n\r\n" + BODY

    def only_tcp() -> None:
        drop(tcp(served), abruptly=next(number) % 2 == 0)

    def half_a_handshake() -> None:
        connection = tcp(served)
        connection.sendall(greeting[: 5 + next(number) % len(greeting)])
        drop(connection, abruptly=next(number) % 2 == 0)

    def half_a_request() -> None:
        connection = connect()
        connection.sendall(half[: 1 + next(number) % len(half)])
        drop(connection, abruptly=next(number) % 2 == 0)

    def crowd(times: int, *kinds: Callable[[], None]) -> None:
        with ThreadPoolExecutor(16) as threads:
            for future in [threads.submit(kind) for _ in range(times) for kind in kinds]:
                future.result()

    before = Footprint.of(served)
    crowd(50, only_tcp, half_a_handshake, half_a_request)  # what is loaded once is loaded now
    before = before._replace(kilobytes=Footprint.of(served).kilobytes)

    stop, written = threading.Event(), list[str]()

    def write() -> None:
        connection = served.connect()
        while not stop.is_set():
            name = f"written-{len(written)}"
            assert served("POST", CONFIG_MAPS, {"metadata": {"name": name}}, connection=connection).code == 201
            written.append(name)

    with ThreadPoolExecutor(1) as writer:
        writing = writer.submit(write)
        crowd(4300, only_tcp, half_a_handshake)
        crowd(1400, half_a_request)
        stop.set()
        writing.result()
    served.hang_up()
    assert len(written) > 20
    assert set(written) <= there(served)
    assert "half" not in there(served)
    after = wait_until_small(served, before)
    assert after.threads <= before.threads + 4, (before, after)
    assert after.sockets <= before.sockets + 2, (before, after)
    assert after.kilobytes <= before.kilobytes + 16 * 1024, (before, after)
    assert "Traceback" not in served.log
    assert " 500" not in served.log


def test_very_many_slow_bodies_of_one_user_hold_nobody_up(patient: Served) -> None:
    """More than there are threads, which once all waited for the rest of such bodies."""
    connect = Tls(patient)
    with ExitStack() as stack:
        with ThreadPoolExecutor(16) as pool:
            telling = [stack.enter_context(connection) for connection in pool.map(lambda _: connect(), range(1600))]
        before = Footprint.of(patient)
        for connection in telling:
            connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n ")
        for path in ("/readyz", "/livez", "/healthz", CONFIG_MAPS):
            began = time.monotonic()
            assert patient("GET", path).code == 200
            assert time.monotonic() - began < 2, path
        after = Footprint.of(patient)
        assert after.sockets >= before.sockets > 1600, "they are still connected"
        assert after.threads < before.threads + 500
        print(before, after)


def test_long_lists_that_nobody_reads_take_no_memory(patient: Served) -> None:
    """Forty times 20 MB, as lists and as the beginning of watches."""
    big = {"data": {"text": "x" * 1_000_000}}
    for number in range(20):
        assert patient("POST", CONFIG_MAPS, {"metadata": {"name": f"big-{number}"}, **big}).code == 201
    lists, watches = b"GET " + CONFIG_MAPS.encode(), b"GET " + CONFIG_MAPS.encode() + b"?watch=true"
    rest = b" HTTP/1.1\r\n" + HEAD.partition(b"\r\n")[2] + b"\r\n"
    assert len(patient("GET", CONFIG_MAPS).body) > 20_000_000
    before = Footprint.of(patient)
    connect = Tls(patient)
    with ExitStack() as stack:
        for path in [lists, watches] * 20:
            connection = stack.enter_context(connect())
            connection.sendall(path + rest)
            assert connection.recv(10) == b"HTTP/1.1 2"
        assert Footprint.of(patient).kilobytes < before.kilobytes + 100 * 1024
        print(before, Footprint.of(patient))


def test_slow_clients_hold_nobody_up_and_are_not_waited_for(served: Served) -> None:
    greeting, connect = hello(served), Tls(served)
    with ExitStack() as stack:
        mute = [stack.enter_context(tcp(served)) for _ in range(300)]
        shaking = [stack.enter_context(tcp(served)) for _ in range(500)]
        for connection in shaking:
            connection.sendall(greeting[:20])
        asking = [stack.enter_context(connect()) for _ in range(50)]
        for connection in asking:
            connection.sendall(HEAD + b"X-Slow: ")
        telling = [stack.enter_context(connect()) for _ in range(20)]
        for connection in telling:
            connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")
        drips = [Drip(shaking, b"x"), Drip(asking, b"x"), Drip(telling, b" ")]
        for drip in drips:
            stack.callback(drip.over.set)

        def takes() -> float:
            began = time.monotonic()
            assert served("POST", CONFIG_MAPS, {"metadata": {"generateName": "prompt-"}}).code == 201
            return time.monotonic() - began

        assert max(takes() for _ in range(20)) < 2
        for drip in drips:
            assert drip.over.wait(10), "handshake and head have three seconds here, and so has a body"
        assert not any(answer(connection) for connection in mute)
