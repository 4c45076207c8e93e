"""Exec's loop between a client and a process, both played by sockets."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from kubelet.runtime.dockerstream import DockerStream
from kubelet.server.connection import Connection
from kubelet.server.streams.channels import Channel, Received
from kubelet.server.streams.session import Session
from machinery.objects import Object


class RawStreams:
    """What the client sends is stdin, what it gets is every channel's output; ``!`` ends stdin, ``@`` resizes."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self.closed = False
        self.output: list[tuple[Channel, bytes]] = []
        self.begun = 0

    def begin(self) -> None:
        self.begun += 1

    def receive(self, data: bytes) -> list[Received]:
        if data == b"@":
            return [Received(Channel.RESIZE, b'{"Width":80,"Height":24}')]
        return [Received(Channel.STDIN, data.rstrip(b"!"), data.endswith(b"!"))]

    def send(self, channel: Channel, data: bytes) -> None:
        self.output.append((channel, data))
        self._conn.deliver(data)

    def finish(self, status: Object) -> None:
        raise AssertionError("the session does not know how the process ended")


class Stage:
    def __init__(
        self, pair: Any, *, terminal: bool = True, hold: bool = False, small: bool = False, client_pair: Any = None
    ) -> None:
        self.client, inner = (client_pair or pair)()
        docker, self.process = pair(small=small)
        self.connection = Connection(inner)
        self.streams = RawStreams(self.connection)
        self.sizes: list[tuple[int, int]] = []
        self.session = Session(
            self.connection,
            self.streams,
            DockerStream(docker, b"", tty=terminal),
            terminal=terminal,
            resize=lambda height, width: self.sizes.append((height, width)),
            hold_start_error=hold,
            stalled_seconds=0.2,
            quiet_seconds=0.1,
        )


def test_input_its_end_and_output(pair: Any, run: Callable[..., Any], read_all: Any) -> None:
    stage = Stage(pair)
    running = run(stage.session.run)
    stage.client.sendall(b"in!")
    assert read_all(stage.process) == b"in"
    stage.process.sendall(b"out")
    stage.process.close()
    assert running.result() is True
    assert stage.client.recv(10) == b"out"
    assert stage.streams.begun == 1


def test_early_input_comes_first(pair: Any, run: Callable[..., Any], read_all: Any) -> None:
    stage = Stage(pair)
    running = run(stage.session.run, [Received(Channel.STDIN, b"early "), Received(Channel.RESIZE, b"nonsense")])
    stage.client.sendall(b"late!")
    assert read_all(stage.process) == b"early late"
    stage.process.close()
    assert running.result() is True


def test_multiplexed_output(pair: Any, run: Callable[..., Any]) -> None:
    stage = Stage(pair, terminal=False)
    running = run(stage.session.run)
    stage.process.sendall(b"\x01\0\0\0\0\0\0\x03out" + b"\x02\0\0\0\0\0\0\x03err")
    stage.process.close()
    assert running.result() is True
    assert stage.streams.output == [(Channel.STDOUT, b"out"), (Channel.STDERR, b"err")]


def test_a_change_of_size(pair: Any, run: Callable[..., Any]) -> None:
    stage = Stage(pair)
    running = run(stage.session.run)
    stage.client.sendall(b"@")
    stage.client.close()
    assert running.result() is False
    assert stage.sizes == [(24, 80)]


def test_a_client_that_leaves(pair: Any, run: Callable[..., Any]) -> None:
    stage = Stage(pair)
    running = run(stage.session.run)
    stage.client.close()
    assert running.result() is False


def test_a_client_that_leaves_while_the_process_does_not_read(pair: Any, run: Callable[..., Any]) -> None:
    stage = Stage(pair, small=True)
    running = run(stage.session.run)
    # More than the session and the process take, less than would keep the client's farewell from arriving.
    stage.client.sendall(b"x" * 280_000)
    assert running.goes_on
    stage.client.close()
    assert running.result() is False


def test_a_process_that_stops_reading_is_heard_to_its_end(pair: Any, run: Callable[..., Any], read_all: Any) -> None:
    stage = Stage(pair)
    running = run(stage.session.run)
    stage.client.sendall(b"x" * 100)
    stage.process.recv(100)
    stage.process.sendall(b"last words")
    stage.process.close()
    assert running.result() is True
    assert stage.client.recv(100) == b"last words"


def test_much_in_both_directions(pair: Any, run: Callable[..., Any]) -> None:
    stage, data = Stage(pair), b"x" * (4 << 20)

    def cat() -> None:
        while chunk := stage.process.recv(65536):
            stage.process.sendall(chunk)
        stage.process.close()

    running, echo = run(stage.session.run), run(cat)
    writing = run(lambda: stage.client.sendall(data + b"!"))
    received = bytearray()
    while len(received) < len(data):
        received += stage.client.recv(1 << 20)
    writing.result()
    echo.result()
    assert running.result() is True
    assert len(received) == len(data)


@pytest.mark.parametrize("words", [b"OCI runtime exec failed: exec: no such file", b"ordinary output"])
def test_words_of_a_process_that_could_not_start_are_held_back(
    pair: Any, run: Callable[..., Any], words: bytes
) -> None:
    stage = Stage(pair, hold=True)
    running = run(stage.session.run)
    stage.process.sendall(words)
    stage.process.close()
    assert running.result() is True
    held = words.startswith(b"OCI")
    assert stage.session.start_error == (words.decode() if held else "")
    assert stage.streams.output == ([] if held else [(Channel.STDOUT, words)])
    stage.session.release()
    assert stage.streams.output == [(Channel.STDOUT, words)]


def test_such_words_are_output_when_more_follows(pair: Any, run: Callable[..., Any]) -> None:
    stage = Stage(pair, hold=True)
    running = run(stage.session.run)
    stage.process.sendall(b"OCI runtime exec failed: says my test")
    # Whatever the sockets do, the second is a message of its own.
    while not stage.session.start_error:
        os.sched_yield()
    stage.process.sendall(b" and more")
    stage.process.close()
    assert running.result() is True
    assert stage.session.start_error == ""
    assert b"".join(data for _, data in stage.streams.output) == b"OCI runtime exec failed: says my test and more"


SIZES = [10, 1_000_000]


@pytest.fixture(params=["plain", "tls"])
def client_pair(request: pytest.FixtureRequest, pair: Any, tls_pair: Any) -> Any:
    if request.param == "plain":
        return pair

    def connect() -> tuple[Any, Any]:
        client, server = tls_pair()
        client.settimeout(0)
        with pytest.raises(
            ssl.SSLWantReadError
        ):  # takes the session tickets: what is unread would reset the connection
            client.recv(1)
        client.settimeout(10)
        return client, server

    return connect


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("terminal", [True, False])
def test_what_a_client_sends_before_it_leaves_arrives(
    pair: Any, client_pair: Any, run: Callable[..., Any], read_all: Any, size: int, terminal: bool, send_and_close: Any
) -> None:
    stage = Stage(pair, client_pair=client_pair, terminal=terminal)
    data = os.urandom(size).replace(b"!", b"?").replace(b"@", b"?")
    running = run(stage.session.run)
    writing = run(lambda: send_and_close(stage.client, data))
    assert read_all(stage.process) == data
    writing.result()
    assert running.result() is False


@pytest.mark.parametrize("size", SIZES)
def test_also_what_it_sent_before_the_session_began(
    pair: Any, client_pair: Any, run: Callable[..., Any], read_all: Any, size: int, send_and_close: Any
) -> None:
    stage = Stage(pair, client_pair=client_pair)
    writing = run(lambda: send_and_close(stage.client, b"x" * size))
    if size < 1000:
        writing.result()
    running = run(stage.session.run)
    assert read_all(stage.process) == b"x" * size
    assert running.result() is False


@pytest.mark.parametrize("size", SIZES)
def test_also_while_the_process_writes_what_nobody_takes(
    pair: Any, client_pair: Any, run: Callable[..., Any], size: int, send_and_close: Any, tee: Any
) -> None:
    """The client never reads, so its connection is reset while its last bytes are on their way."""
    stage, received = Stage(pair, client_pair=client_pair), bytearray()
    echo, running = run(tee, stage.process, received), run(stage.session.run)
    writing = run(lambda: send_and_close(stage.client, b"x" * size))
    writing.result()
    assert running.result() is False
    stage.session._process.close()
    echo.result()
    assert len(received) == size


def test_a_process_that_writes_for_ever_does_not_keep_a_client_that_has_left(
    pair: Any, run: Callable[..., Any]
) -> None:
    stage = Stage(pair)

    def yes() -> None:
        with pytest.raises(OSError, match=r"reset|Broken"):
            while True:
                stage.process.sendall(b"y" * 1000)

    writing, running = run(yes), run(stage.session.run)
    assert stage.client.recv(100)
    stage.client.close()
    stage.process.shutdown(socket.SHUT_RD)
    assert running.result() is False
    stage.session._process.close()
    writing.result()
