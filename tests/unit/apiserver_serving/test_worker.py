"""A worker in this process, with an application of a few lines: what becomes of connections."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from apiserver.model.exchange import EXCHANGE, WATCH
from apiserver.serving import server
from apiserver.serving import worker as module
from apiserver.serving.scoreboard import Scoreboard
from apiserver.serving.worker import Worker

HEAD = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"


class Events:
    """A watch's stream of one event; it ends when it is told to."""

    def __init__(self) -> None:
        self.over = False
        self.due = time.monotonic() + 100
        self._texts = [b"event\n"]
        self._listener: Callable[[], None] = lambda: None

    def step(self) -> bytes:
        return self._texts.pop() if self._texts else b""

    def listen(self, listener: Callable[[], None]) -> None:
        self._listener = listener

    def end(self) -> None:
        self.over = True
        self._listener()


class Flood(Events):
    """A watch's stream that always has more to say."""

    def step(self) -> bytes:
        return bytes(1 << 18)


class App:
    """Paths: /ok, /slow (until ``go``), /watch, /take, /broken, /half."""

    request_timeout = 30.0

    def __init__(self) -> None:
        self.go, self.busy = threading.Event(), threading.Semaphore(0)
        self.events = Events()
        self.log: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/slow":
                self.busy.release()
                assert self.go.wait(5)
            case "/watch":
                environ[WATCH] = self.events
                start_response("200 OK", [])
                return []
            case "/flood":
                environ[WATCH] = Flood()
                start_response("200 OK", [])
                return []
            case "/take":
                environ[EXCHANGE].taken_over = True
                environ[EXCHANGE].socket.sendall(b"mine")
                return []
            case "/broken":
                raise ZeroDivisionError("a bug")
            case "/half":
                start_response("200 OK", [])
                return self._half()
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    def _half(self) -> Iterator[bytes]:
        yield b"half"
        raise ZeroDivisionError("a bug")

    def streams_body(self, environ: dict[str, Any]) -> bool:
        return bool(environ["PATH_INFO"] == "/slow")

    def start(self, slot: int) -> None:
        self.log.append(f"start {slot}")

    def end_streams(self) -> None:
        self.log.append("end streams")
        self.events.end()

    def stop(self) -> None:
        self.log.append("stop")


class Serving:
    """A worker that runs in a thread."""

    def __init__(self, stack: ExitStack, grace: float = 5.0) -> None:
        self.app = App()
        self._stack = stack
        self._listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        server.announce(self._listener, None)
        self.scoreboard = Scoreboard(1)
        self.worker = Worker(self.app, [self._listener], None, self.scoreboard)
        self._address = self._listener.getsockname()
        self.worker.start()
        self._thread = threading.Thread(target=self.worker.run, args=(grace,))
        self._thread.start()

    def connect(self, data: bytes = b"") -> socket.socket:
        sock = self._stack.enter_context(socket.create_connection(self._address, 5))
        sock.sendall(data)
        return sock

    def stop(self) -> float:
        """Seconds that it took."""
        began = time.monotonic()
        self.worker.stop()
        self.app.go.set()
        self._thread.join(10)
        assert not self._thread.is_alive()
        return time.monotonic() - began


@pytest.fixture
def serving() -> Iterator[Serving]:
    with ExitStack() as stack:
        made = Serving(stack)
        yield made
        made.stop()


def read(sock: socket.socket, until: bytes) -> bytes:
    data = b""
    while not data.endswith(until):
        part = sock.recv(65536)
        assert part, data
        data += part
    return data


def is_closed(sock: socket.socket) -> bool:
    try:
        return sock.recv(1000) == b""
    except ConnectionResetError:
        return True


def request_threads() -> int:
    return sum(thread.name.startswith("request-") for thread in threading.enumerate())


def test_requests_on_one_connection_and_beginning_and_end(serving: Serving) -> None:
    sock = serving.connect(HEAD % b"ok" * 2)
    answers = b""
    while answers.count(b"\r\n\r\nok") < 2:
        answers += read(sock, b"ok")
    for byte in HEAD % b"ok":
        sock.sendall(bytes([byte]))
    assert read(sock, b"ok").endswith(b"\r\n\r\nok")
    assert serving.scoreboard.fewest_connections() == 1
    assert serving.stop() < 2
    assert serving.app.log == ["start 0", "end streams", "stop"]
    assert is_closed(sock)
    with pytest.raises(ConnectionError):
        serving.connect()


def test_neither_new_nor_half_nor_idle_connections_nor_watches_have_a_thread(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving.worker._pool, "_idle_seconds", 0.1)
    before = request_threads()
    kept = [serving.connect() for _ in range(5)] + [serving.connect(b"GET /") for _ in range(5)]
    idle = [serving.connect(HEAD % b"ok") for _ in range(5)]
    for sock in idle:
        read(sock, b"ok")
    watch = serving.connect(HEAD % b"watch")
    assert read(watch, b"event\n\r\n").endswith(b"6\r\nevent\n\r\n")
    wait_until(lambda: request_threads() <= before)  # idle threads of the pool end by themselves
    serving.app.events.end()
    assert read(watch, b"0\r\n\r\n")
    watch.sendall(HEAD % b"ok")
    assert read(watch, b"ok"), "after a watch its connection serves other requests"
    for sock in [*kept[5:], *idle]:
        sock.sendall((HEAD % b"ok")[5 if sock in kept else 0 :])
        assert read(sock, b"ok")


def test_a_head_has_a_time(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SWEEP", 0.05)
    monkeypatch.setattr(serving.worker, "_head_timeout", 0.3)
    began = time.monotonic()
    slow, mute = serving.connect(b"GET /"), serving.connect()
    assert is_closed(slow) and is_closed(mute)
    assert 0.2 < time.monotonic() - began < 4


def test_of_too_many_half_heads_the_oldest_goes(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PARTIAL_LIMIT", 2)
    first = serving.connect(b"GET /")
    partial = serving.worker._partial
    wait_until(lambda: len(partial) == 1)
    second = serving.connect(b"GET /")
    wait_until(lambda: len(partial) == 2)
    third = serving.connect(b"GET /")
    assert is_closed(first)
    for sock in (second, third):
        sock.sendall((HEAD % b"ok")[5:])
        assert read(sock, b"ok")


def test_of_too_many_connections_those_go_that_are_silent(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTIONS", 3)
    monkeypatch.setattr(module, "HEADROOM", 1)
    idle = serving.connect(HEAD % b"ok")
    read(idle, b"ok")
    busy = serving.connect(HEAD % b"slow")
    assert serving.app.busy.acquire(timeout=5)
    wait_until(lambda: len(serving.worker._idle) == 1)
    third = serving.connect(HEAD % b"ok")
    assert is_closed(idle)
    assert read(third, b"ok")
    serving.app.go.set()
    assert read(busy, b"ok")


POST = b"POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"


def test_a_body_needs_no_thread_until_it_is_there(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving.worker._pool, "_idle_seconds", 0.1)
    before = request_threads()
    slow = [serving.connect(POST + b"a") for _ in range(20)]
    wait_until(lambda: len(serving.worker._partial) == 20 and request_threads() <= before)
    for byte in (b"b", b"c"):
        for sock in slow:
            sock.sendall(byte)
    for sock in slow:
        assert read(sock, b"ok")
        sock.sendall(POST + b"abc")
        assert read(sock, b"ok"), "and the connection can be used again"


def test_a_body_that_the_application_reads_as_it_comes_is_not_collected(serving: Serving) -> None:
    sock = serving.connect(POST.replace(b"/ok", b"/slow"))
    assert serving.app.busy.acquire(timeout=5)
    serving.app.go.set()
    assert read(sock, b"ok")


def test_a_body_has_a_time(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SWEEP", 0.05)
    monkeypatch.setattr(serving.app, "request_timeout", 0.3)
    began = time.monotonic()
    slow = serving.connect(POST)
    wait_until(lambda: len(serving.worker._partial) == 1)
    slow.sendall(b"a")
    assert is_closed(slow)
    assert 0.2 < time.monotonic() - began < 4


def test_of_too_many_bytes_of_bodies_the_oldest_go(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BODIES_LIMIT", 3)
    partial = serving.worker._partial
    first = serving.connect(POST + b"ab")
    wait_until(lambda: len(partial) == 1)
    second = serving.connect(POST + b"ab")
    assert is_closed(first)
    wait_until(lambda: (len(partial), serving.worker._bodies) == (1, 2))
    second.sendall(b"c")
    assert read(second, b"ok")
    assert serving.worker._bodies == 0


def test_a_client_that_leaves_in_the_middle_of_a_body_is_forgotten(serving: Serving) -> None:
    slow = serving.connect(POST + b"ab")
    wait_until(lambda: serving.worker._bodies == 2)
    slow.close()
    wait_until(lambda: (serving.worker._bodies, serving.worker._count) == (0, 0))


def test_who_has_not_read_its_answer_yet_still_gets_it_and_holds_no_thread(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving.worker._pool, "_idle_seconds", 0.1)
    before = request_threads()
    sock = serving.connect(b"nonsense\r\n\r\n" + b"x" * 1000)
    wait_until(lambda: len(serving.worker._lingering) == 1 and request_threads() <= before)
    sock.sendall(b"y" * 100_000)
    assert b"400 Bad Request" in read(sock, b"}")
    assert is_closed(sock)
    sock.close()
    wait_until(lambda: serving.worker._count == 0)


def test_who_does_not_read_its_watch_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STALL_TIMEOUT", 0.3)
    with ExitStack() as stack:
        serving = Serving(stack)
        serving.connect(HEAD % b"flood")
        wait_until(lambda: serving.worker._count == 1)
        began = time.monotonic()
        wait_until(lambda: serving.worker._count == 0)
        assert time.monotonic() - began > 0.1
        serving.stop()


def test_a_socket_that_the_application_has_taken_over(serving: Serving) -> None:
    taken = serving.connect(HEAD % b"take")
    assert read(taken, b"mine") == b"mine"
    assert is_closed(taken)


def test_a_bug_beside_the_application_is_a_500_and_a_broken_response_is_cut(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    broken = serving.connect(HEAD % b"broken")
    assert read(broken, b"}").startswith(b"HTTP/1.1 500 ")
    half = serving.connect(HEAD % b"half")
    assert b"4\r\nhalf\r\n" in read(half, b"half\r\n")
    assert is_closed(half), "and not a second response in the middle of the first"
    assert caplog.text.count("ZeroDivisionError: a bug") == 2


def test_nonsense_is_answered_with_a_status(serving: Serving) -> None:
    answer = read(serving.connect(b"nonsense\r\n\r\n"), b"}")
    assert answer.startswith(b"HTTP/1.1 400 ") and b'"kind":"Status"' in answer


def test_a_stop_lets_a_request_end_and_closes_its_connection(serving: Serving) -> None:
    slow, new = serving.connect(HEAD % b"slow"), serving.connect()
    assert serving.app.busy.acquire(timeout=5)
    serving.worker.stop()
    assert is_closed(new)
    serving.app.go.set()
    assert read(slow, b"ok")
    assert is_closed(slow)


def test_a_stop_does_not_wait_longer_than_the_grace() -> None:
    with ExitStack() as stack:
        serving = Serving(stack, grace=0.2)
        slow = serving.connect(HEAD % b"slow")
        assert serving.app.busy.acquire(timeout=5)
        serving.worker.stop()
        serving._thread.join(3)
        assert not serving._thread.is_alive()
        serving.app.go.set()
        assert read(slow, b"ok")
        assert is_closed(slow)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
