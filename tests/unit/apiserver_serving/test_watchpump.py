"""One thread tells all watches: over real sockets, with streams that say what the test wants."""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from apiserver.serving.watchpump import WatchPump, WatchResponse


class Script:
    """A stream: says what is put into it."""

    def __init__(self, *texts: bytes) -> None:
        self.texts: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        for text in texts:
            self.texts.put(text)
        self.over = False
        self.due = time.monotonic() + 1000
        self.when_due = b""
        self.steps = 0
        self.broken = False
        self.listener: Callable[[], None] = lambda: None

    def step(self) -> bytes:
        self.steps += 1
        if self.broken:
            raise ZeroDivisionError("a bug in a printer")
        text = b""
        while not self.texts.empty():
            text += self.texts.get()
        if time.monotonic() >= self.due:
            text += self.when_due
            self.due += 1000
        return text

    def listen(self, listener: Callable[[], None]) -> None:
        self.listener = listener

    def say(self, text: bytes) -> None:
        self.texts.put(text)
        self.listener()

    def end(self) -> None:
        self.over = True
        self.listener()


class Client:
    """The other end of a watch."""

    def __init__(self, pump: WatchPump, stream: Script, *, chunked: bool = False) -> None:
        self.stream = stream
        self.sock, self.served = socket.socketpair()
        self.sock.settimeout(10)
        self.ended: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self.given_back = threading.Event()
        self.watch = WatchResponse(stream, self.served, chunked=chunked, done=self._done)
        pump.serve(self.watch)

    def reads(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            received = self.sock.recv(size - len(data))
            assert received, data
            data += received
        return data

    def close(self) -> None:
        self.sock.close()
        assert self.given_back.wait(10), "the connection is the pump's until it has heard"
        self.served.close()

    def _done(self, reusable: bool) -> None:
        self.ended.put(reusable)
        self.given_back.set()


@pytest.fixture
def pump() -> WatchPump:
    return WatchPump()


@pytest.fixture
def client(pump: WatchPump) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(*texts: bytes, chunked: bool = False) -> Client:
        made.append(Client(pump, Script(*texts), chunked=chunked))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_all_hear_what_is_for_them(client: Callable[..., Client]) -> None:
    clients = [client(b"<%d>" % number) for number in range(50)]
    threads = {thread.name for thread in threading.enumerate()}
    for number, one in enumerate(clients):
        assert one.reads(len(b"<%d>" % number)) == b"<%d>" % number
    for one in clients[::2]:
        one.stream.say(b"even")
    assert [one.reads(4) for one in clients[::2]] == [b"even"] * 25
    assert {thread.name for thread in threading.enumerate()} == threads
    assert clients[0].watch.sent == len(b"<0>even")


def test_chunks_and_the_end(client: Callable[..., Client]) -> None:
    one = client(b"0123456789abcdef", chunked=True)
    assert one.reads(22) == b"10\r\n0123456789abcdef\r\n"
    one.stream.texts.put(b"last")
    one.stream.end()
    assert one.ended.get(timeout=10) is True, "the connection can be used again"
    # What had not been asked for when the end came is not said any more: a stream says its last together with the end.
    assert one.reads(5) == b"0\r\n\r\n"


@pytest.mark.parametrize("farewell", ["close", "half-close", "words"])
def test_a_client_that_leaves(client: Callable[..., Client], farewell: str) -> None:
    one, other = client(b"a"), client(b"b")
    one.reads(1)
    if farewell == "close":
        one.sock.close()
    elif farewell == "half-close":
        one.sock.shutdown(socket.SHUT_WR)
    else:
        one.sock.sendall(b"GET / HTTP/1.1\r\n")
    assert one.ended.get(timeout=10) is False
    one.stream.say(b"nobody hears")  # a late event of one that has ended harms nobody
    other.stream.say(b"c")
    assert other.reads(2) == b"bc"


def test_a_slow_reader_holds_up_nobody_and_loses_nothing(client: Callable[..., Client]) -> None:
    slow, quick = client(), client()
    first = b"x" * (4 << 20)  # more than its socket takes
    slow.stream.say(first)
    quick.stream.say(b"quick")
    assert quick.reads(5) == b"quick"
    while slow.stream.steps < 2:  # it has been told the first part, and its socket is full
        time.sleep(0.01)
    steps = slow.stream.steps
    for _ in range(20):
        slow.stream.say(b"y" * 1000)
        quick.stream.say(b"z")
    assert quick.reads(20) == b"z" * 20
    assert slow.stream.steps == steps, "what it was not told yet stays where it is"
    assert slow.reads(len(first) + 20_000) == first + b"y" * 20_000


def test_its_time_comes(client: Callable[..., Client]) -> None:
    one = client(b"a")
    one.reads(1)
    one.stream.when_due = b"bookmark"
    one.stream.due = time.monotonic() + 0.2
    one.stream.say(b"b")  # the pump looks at the stream again, and sees its new time
    assert one.reads(9) == b"bbookmark", "nobody has rung for it"
    one.stream.say(b"c")
    assert one.reads(1) == b"c"


def test_a_bug_in_one_ends_that_one(client: Callable[..., Client], caplog: pytest.LogCaptureFixture) -> None:
    one, other = client(b"a"), client(b"b")
    one.reads(1)
    one.stream.broken = True
    one.stream.say(b"c")
    assert one.ended.get(timeout=10) is False
    assert "a bug in a printer" in caplog.text
    assert caplog.records[0].levelno == logging.ERROR
    other.stream.say(b"d")
    assert other.reads(2) == b"bd"


def test_many_come_and_go(pump: WatchPump, client: Callable[..., Client]) -> None:
    """Descriptors are used again by others at once."""
    for _ in range(200):
        one = client(b"a")
        assert one.reads(1) == b"a"
        one.sock.close()
        assert one.ended.get(timeout=10) is False
        one.served.close()
    last = client(b"z")
    assert last.reads(1) == b"z"
