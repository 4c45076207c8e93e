"""The client of etcd's protocol, against the server of the package grpcio, and against peers that misbehave."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from apiserver.storage.rpc import Code, Connection, Pool, RpcError, method_head

ECHO, MANY, REFUSE, SLOW, ABSENT = (method_head(f"/test.Test/{name}") for name in ("E", "M", "R", "S", "Absent"))
LARGE = 3 * 1024 * 1024
DETAILS = "too large: 100 % of größe\nline"


def _many(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    for number in range(int(request)):
        yield b"%d" % number * (number % 70_000)


def _refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, DETAILS)
    raise AssertionError("abort raises")


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[str]:
    release = threading.Event()

    def slow(request: bytes, context: grpc.ServicerContext) -> bytes:
        release.wait(30)
        return request

    handlers = {
        "E": grpc.unary_unary_rpc_method_handler(lambda request, context: request),
        "M": grpc.unary_stream_rpc_method_handler(_many),
        "R": grpc.unary_unary_rpc_method_handler(_refuse),
        "S": grpc.unary_unary_rpc_method_handler(slow),
    }
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(8), options=unlimited)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", handlers),))
    path = str(tmp_path / "socket")
    server.add_insecure_port(f"unix:{path}")
    server.start()
    yield path
    release.set()
    server.stop(None).wait(10)


@pytest.mark.parametrize("size", [0, 1, 65_000, 65_535, 65_536, LARGE])
def test_a_message_of_any_size_comes_back(peer: str, size: int) -> None:
    pool = Pool(peer, 10)
    for _ in range(3):  # so the windows are used up, and opened again
        assert pool.call(ECHO, b"x" * size) == b"x" * size
    pool.close()


def test_more_than_a_window_is_sent_in_small_messages(peer: str) -> None:
    pool = Pool(peer, 10)
    for number in range(300):
        assert pool.call(ECHO, b"%d" % number * 400) == b"%d" % number * 400
    pool.close()


def test_calls_at_the_same_time_get_their_own_answers(peer: str) -> None:
    pool = Pool(peer, 10)
    with ThreadPoolExecutor(20) as threads:
        sent = [b"%d" % number * (number % 300) for number in range(600)]
        assert list(threads.map(lambda each: pool.call(ECHO, each), sent)) == sent
    pool.close()


def test_a_stream_yields_every_message_in_order(peer: str) -> None:
    connection = Connection(peer, 10)
    found = [message for messages in connection.stream(MANY, b"300") for message in messages]
    assert found == [b"%d" % number * number for number in range(300)]
    assert not connection.in_call
    connection.close()


def test_an_error_has_its_code_and_words_and_the_connection_goes_on(peer: str) -> None:
    connection = Connection(peer, 10)
    for _ in range(2):
        with pytest.raises(RpcError) as raised:
            connection.call(REFUSE, b"")
        assert (raised.value.code, raised.value.details) == (Code.INVALID_ARGUMENT, DETAILS)
        assert not connection.in_call
    with pytest.raises(RpcError) as raised:
        connection.call(ABSENT, b"")
    assert raised.value.code == grpc.StatusCode.UNIMPLEMENTED.value[0]
    assert connection.call(ECHO, b"still there") == b"still there"
    connection.close()


def test_a_peer_that_does_not_answer_costs_the_timeout_and_not_the_next_call(peer: str) -> None:
    pool = Pool(peer, 0.2)
    begin = time.monotonic()
    with pytest.raises(BlockingIOError):
        pool.call(SLOW, b"late")
    assert time.monotonic() - begin < 5
    assert pool.call(ECHO, b"next") == b"next"
    pool.close()


def test_closing_a_connection_ends_the_call_that_waits_on_it(peer: str) -> None:
    connection = Connection(peer, None)
    failed = threading.Event()

    def wait() -> None:
        with pytest.raises(OSError):
            connection.call(SLOW, b"")
        failed.set()

    thread = threading.Thread(target=wait)
    thread.start()
    while not connection.in_call:
        time.sleep(0.001)  # nothing tells when a call has begun
    connection.close()
    assert failed.wait(5)
    thread.join()


# --- peers of which each frame is given ------------------------------------------------------------------------------


def frame(type_: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([type_, flags]) + stream.to_bytes(4, "big") + payload


def text(value: str) -> bytes:
    return bytes([len(value)]) + value.encode()


HEAD = b"\x20" + b"\x88" + b"\0" + text("content-type") + text("application/grpc")
END = b"\0" + text("grpc-status") + text("0")
MESSAGE = b"\0\0\0\0\x02ok"
ANSWER = ((1, 4, HEAD), (0, 0, MESSAGE), (1, 5, END))
REQUEST = b"a request that all peers read"


def answer(stream: int) -> bytes:
    return b"".join(frame(type_, flags, stream, payload) for type_, flags, payload in ANSWER)


Script = Callable[[socket.socket, int], bytes | None]


@contextmanager
def scripted(path: str, script: Script) -> Iterator[list[bytes]]:
    """A peer that says after each request what the script returns, and hangs up at None; yield what it received."""
    received: list[bytes] = []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def serve(connected: socket.socket, number: int) -> None:
        with connected:
            while data := connected.recv(1 << 20):
                received.append(data)
                if REQUEST in data:
                    say = script(connected, number)
                    if say is None:
                        return
                    connected.sendall(say)

    def accept() -> None:
        number = 0
        while True:
            try:
                connected, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connected, number), daemon=True).start()
            number += 1

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield received
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_an_answer_in_single_bytes_is_put_together(tmp_path: Path) -> None:
    def script(connected: socket.socket, number: int) -> bytes:
        for byte in frame(4, 0, 0) + answer(1):
            connected.sendall(bytes([byte]))
        return b""

    with scripted(str(tmp_path / "s"), script):
        connection = Connection(str(tmp_path / "s"), 5)
        assert connection.call(ECHO, REQUEST) == b"ok"
        connection.close()


def test_pings_and_settings_are_acknowledged_with_the_next_request(tmp_path: Path) -> None:
    streams = iter((1, 3))

    def script(connected: socket.socket, number: int) -> bytes:
        return frame(4, 0, 0) + frame(6, 0, 0, b"12345678") + frame(6, 1, 0, b"87654321") + answer(next(streams))

    with scripted(str(tmp_path / "s"), script) as received:
        connection = Connection(str(tmp_path / "s"), 5)
        assert [connection.call(ECHO, REQUEST), connection.call(ECHO, REQUEST)] == [b"ok", b"ok"]
        connection.close()
    assert frame(4, 1, 0) + frame(6, 1, 0, b"12345678") in received[1]
    assert b"87654321" not in received[1]


def test_a_peer_that_says_good_bye_is_asked_on_another_connection(tmp_path: Path) -> None:
    with scripted(str(tmp_path / "s"), lambda _, number: frame(7, 0, 0, bytes(8)) + answer(1)) as received:
        pool = Pool(str(tmp_path / "s"), 5)
        assert [pool.call(ECHO, REQUEST) for _ in range(3)] == [b"ok"] * 3
        pool.close()
    assert sum(data.count(b"PRI * HTTP/2.0") for data in received) == 3


def test_a_connection_that_the_peer_closed_while_it_was_idle_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apiserver.storage.rpc._FRESH", 0.0)

    def script(connected: socket.socket, number: int) -> None:
        connected.sendall(answer(1))

    with scripted(str(tmp_path / "s"), script) as received:
        pool = Pool(str(tmp_path / "s"), 5)
        assert pool.call(ECHO, REQUEST) == b"ok"
        idle = pool._idle[0]
        while idle.is_usable():
            time.sleep(0.001)  # the peer closes a moment after its answer
        assert pool.call(ECHO, REQUEST) == b"ok"
        pool.close()
    assert sum(data.count(b"PRI * HTTP/2.0") for data in received) == 2


def test_a_connection_that_nobody_needs_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apiserver.storage.rpc._IDLE", -1.0)
    with scripted(str(tmp_path / "s"), lambda _, number: answer(1)):
        pool = Pool(str(tmp_path / "s"), 5)
        assert pool.call(ECHO, REQUEST) == b"ok"
        assert not pool._idle
        pool.close()


@pytest.mark.parametrize(
    ("frames", "code", "words"),
    [
        (frame(3, 0, 1, (7).to_bytes(4, "big")), Code.UNAVAILABLE, "the call was reset, code 7"),
        (frame(1, 4, 1, b"\0" + text(":status") + text("502")), Code.UNAVAILABLE, "HTTP status 502"),
        (frame(1, 5, 1, HEAD), Code.INTERNAL, ""),
        (frame(1, 4, 1, HEAD) + frame(1, 5, 1, END), Code.INTERNAL, "there is no message in the answer"),
        (frame(1, 4 | 8, 1, b"\1" + HEAD + b"\0"), Code.INTERNAL, "a frame has padding or a priority"),
    ],
)
def test_what_is_no_answer_is_an_error(tmp_path: Path, frames: bytes, code: Code, words: str) -> None:
    with scripted(str(tmp_path / "s"), lambda _, number: frames):
        pool = Pool(str(tmp_path / "s"), 5)
        with pytest.raises(RpcError) as raised:
            pool.call(ECHO, REQUEST)
        pool.close()
    assert raised.value.code == code
    assert raised.value.details.startswith(words)


def test_a_peer_that_hangs_up_in_the_middle_is_an_error(tmp_path: Path) -> None:
    def script(connected: socket.socket, number: int) -> None:
        connected.sendall(answer(1)[:-3])

    with scripted(str(tmp_path / "s"), script), pytest.raises(ConnectionResetError):
        Pool(str(tmp_path / "s"), 5).call(ECHO, REQUEST)


def test_an_absent_peer_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Pool(str(tmp_path / "absent"), 5).call(ECHO, b"")
