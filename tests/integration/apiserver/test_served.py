"""The real process: two workers, TLS, and what happens when one of them or etcd is killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
from integration.served import Etcd, Pki, Served

pytestmark = pytest.mark.etcd

CMS = "/api/v1/namespaces/default/configmaps"


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def connections(served: Served, count: int = 8) -> list[HTTPSConnection]:
    """Enough connections that both workers have some."""
    return [served.connect() for _ in range(count)]


def test_what_one_connection_writes_the_others_read(served: Served) -> None:
    writer, *readers = connections(served)
    served("DELETE", CMS + "/seen", connection=writer)
    for number in range(60):
        if number == 0:
            written = served("POST", CMS, config_map("seen", n="0"), connection=writer)
        else:
            written = served("PUT", CMS + "/seen", config_map("seen", n=str(number)), connection=writer)
        assert written.code in (200, 201), written
        revision = written.json["metadata"]["resourceVersion"]
        for reader in readers[:3]:
            got = served("GET", CMS + "/seen", connection=reader)
            assert got.json["metadata"]["resourceVersion"] == revision
        listed = served("GET", CMS, connection=readers[3]).json["items"]
        assert {item["metadata"]["name"]: item for item in listed}["seen"]["data"] == {"n": str(number)}
    served("DELETE", CMS + "/seen", connection=writer)
    assert [served("GET", CMS + "/seen", connection=reader).code for reader in readers] == [404] * len(readers)


def test_no_increment_is_lost(served: Served) -> None:
    served("POST", CMS, config_map("counter", n="0"))

    def increment() -> None:
        connection = served.connect()
        for _ in range(10):
            while True:
                obj = served("GET", CMS + "/counter", connection=connection).json
                obj["data"]["n"] = str(int(obj["data"]["n"]) + 1)
                answer = served("PUT", CMS + "/counter", obj, connection=connection)
                if answer.code == 200:
                    break
                assert answer.code == 409, answer
        connection.close()

    run([increment] * 20)
    assert served("GET", CMS + "/counter").json["data"]["n"] == "200"
    served("DELETE", CMS + "/counter")


def test_each_watcher_sees_every_revision_once_and_in_order(served: Served) -> None:
    start = served("POST", CMS, config_map("watched", n="0")).json["metadata"]["resourceVersion"]
    written: list[int] = []
    seen: list[list[int]] = [[] for _ in range(10)]

    def watch(found: list[int]) -> None:
        connection = served.connect()
        path = f"{CMS}?watch=1&resourceVersion={start}&fieldSelector=metadata.name%3Dwatched"
        connection.request("GET", path, headers={"Authorization": "Bearer admin-token"})
        response = connection.getresponse()
        while True:
            event = json.loads(response.readline())
            found.append(int(event["object"]["metadata"]["resourceVersion"]))
            if event["type"] == "DELETED":
                break
        connection.close()

    def write() -> None:
        connection = served.connect()
        for number in range(100):
            body = {"data": {"n": f"{threading.get_ident()}-{number}"}}
            merge = {"Content-Type": "application/merge-patch+json"}
            answer = served("PATCH", CMS + "/watched", body, merge, connection)
            assert answer.code == 200, answer
            written.append(int(answer.json["metadata"]["resourceVersion"]))
        connection.close()

    watchers = [threading.Thread(target=watch, args=(found,)) for found in seen]
    for watcher in watchers:
        watcher.start()
    run([write] * 4)
    served("DELETE", CMS + "/watched")
    for watcher in watchers:
        watcher.join(30)
    assert len(set(written)) == 400
    for found in seen:
        assert found[:-1] == sorted(written)


def test_an_address_is_given_once(served: Served) -> None:
    codes: list[int] = []

    def ask(number: int) -> None:
        spec = {"clusterIP": "172.30.77.7", "ports": [{"port": 80}]}
        answer = served(
            "POST", "/api/v1/namespaces/default/services", {"metadata": {"name": f"s{number}"}, "spec": spec}
        )
        codes.append(answer.code)

    run([lambda n=n: ask(n) for n in range(8)])
    assert sorted(codes) == [201] + [422] * 7
    for number in range(8):
        served("DELETE", f"/api/v1/namespaces/default/services/s{number}")


def test_client_certificates(served: Served) -> None:
    connection = served.connect("admin")
    review = served("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, {"Authorization": ""}, connection)
    info = review.json["status"]["userInfo"]
    assert (info["username"], info["groups"]) == ("admin", ["system:masters", "system:authenticated"])
    assert served("GET", "/api/v1/pods", None, {"Authorization": ""}, connection).code == 200
    nobody = served("GET", "/api/v1/pods", None, {"Authorization": ""})
    assert nobody.code == 403


def test_a_certificate_of_another_authority_is_refused(served: Served, make_pki: type[Pki], tmp_path: Path) -> None:
    other = make_pki(tmp_path)
    context = served.pki.client_context()
    context.load_cert_chain(other.folder / "admin.crt", other.folder / "admin.key")
    connection = HTTPSConnection("127.0.0.1", served.port, context=context, timeout=10)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        served("GET", "/api", None, {"Authorization": ""}, connection)
    connection.close()


def test_chunked_bodies(served: Served) -> None:
    connection = served.connect()
    headers = {"Authorization": "Bearer admin-token", "Content-Type": "application/json"}

    def send(body: bytes) -> Any:
        chunks = (body[at : at + 65536] for at in range(0, len(body), 65536))
        connection.request("POST", CMS, chunks, headers, encode_chunked=True)
        response = connection.getresponse()
        response.read()
        return response.status

    assert send(json.dumps(config_map("chunked")).encode()) == 201
    served("DELETE", CMS + "/chunked")
    try:
        assert send(json.dumps(config_map("chunked", k="x" * (4 << 20))).encode()) == 413
    except ConnectionError:
        pass  # the server may hang up on one who goes on sending
    connection.close()


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /version HTTP/1.1\r\nbad header: x\r\n\r\n", 400),
        (b"GET /" + b"x" * 300000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /version HTTP/1.1\r\nA: " + b"x" * 70000 + b"\r\n\r\n", 431),
        (
            b"POST /api/v1/namespaces HTTP/1.1\r\nAuthorization: Bearer admin-token\r\n"
            b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
            400,
        ),
    ],
)
def test_what_is_no_request_is_answered_with_a_status(served: Served, request_bytes: bytes, code: int) -> None:
    with served.tls() as connection:
        connection.sendall(request_bytes)
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.endswith(b"}"):
            part = connection.recv(65536)
            assert part, answer
            answer = answer.rstrip(b"\n") + part
            answer = answer.rstrip(b"\n")
    assert answer.startswith(b"HTTP/1.1 %d " % code), answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["kind"] == "Status"


def test_a_large_answer_and_a_small_one_on_one_connection(served: Served) -> None:
    connection = served.connect()
    assert served("GET", "/openapi/v2", connection=connection).code == 200
    assert served("GET", "/version", connection=connection).json["major"] == "1"
    connection.close()


def test_a_watch_notices_that_its_client_has_left(served: Served) -> None:
    before = threads_of(served)
    leaving = []
    for _ in range(20):
        connection = served.connect()
        connection.request("GET", f"{CMS}?watch=1", headers={"Authorization": "Bearer admin-token"})
        response = connection.getresponse()
        leaving.append((connection, response))
    open_watches = sockets_of(served)
    for connection, response in leaving:
        response.close()
        connection.close()
    deadline = time.monotonic() + 10
    while sockets_of(served) > open_watches - 20:
        assert time.monotonic() < deadline, (before, open_watches, sockets_of(served))
        time.sleep(0.02)


def threads_of(served: Served) -> int:
    return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in served.workers())


def sockets_of(served: Served) -> int:
    count = 0
    for file in [file for pid in served.workers() for file in Path(f"/proc/{pid}/fd").iterdir()]:
        with suppress(FileNotFoundError):  # it was closed while we looked
            count += str(file.readlink()).startswith("socket:")
    return count


def test_silent_connections_hold_nobody_up(served: Served) -> None:
    silent = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(100)]
    halves = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(20)]
    for half in halves:
        half.send(b"\x16\x03\x01")
    started = time.monotonic()
    assert served("GET", "/version").code == 200
    assert time.monotonic() - started < 2
    for each in (*silent, *halves):
        each.close()


def test_stops_at_once_with_open_watches(etcd: Etcd, start_served: Callable[..., Served]) -> None:
    served = start_served(etcd)
    watches = []
    for _ in range(10):
        connection = served.connect()
        connection.request("GET", f"{CMS}?watch=1", headers={"Authorization": "Bearer admin-token"})
        watches.append((connection, connection.getresponse()))
    started = time.monotonic()
    served.process.terminate()
    assert served.process.wait(10) == 0
    assert time.monotonic() - started < 2
    for connection, response in watches:
        lines = response.read().splitlines()
        assert all(json.loads(line)["type"] == "ADDED" for line in lines), "each ends properly, between two events"
        connection.close()


def test_workers_leave_when_their_parent_is_killed(etcd: Etcd, start_served: Callable[..., Served]) -> None:
    served = start_served(etcd)
    watch = served.connect()
    watch.request("GET", f"{CMS}?watch=1", headers={"Authorization": "Bearer admin-token"})
    watch.getresponse()
    workers = served.workers()
    served.process.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 5)


def test_a_killed_worker_loses_nothing(own_etcd: Etcd, start_served: Callable[..., Served]) -> None:
    served = start_served(own_etcd)
    acknowledged: list[str] = []
    stop = threading.Event()

    def write(who: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            name = f"k-{who}-{number}"
            try:
                answer = served("POST", CMS, config_map(name))
            except (OSError, HTTPException):
                continue  # cut off: it may have been written or not
            if answer.code == 201:
                acknowledged.append(name)

    writers = [threading.Thread(target=write, args=(who,)) for who in range(4)]
    for writer in writers:
        writer.start()
    for _ in range(3):
        wait_for_more(acknowledged)
        os.kill(served.workers()[0], signal.SIGKILL)
    wait_for_more(acknowledged)
    stop.set()
    for writer in writers:
        writer.join(30)
    wait_until(lambda: len(served.workers()) == 2)
    for _ in range(6):
        listed = {item["metadata"]["name"] for item in served("GET", CMS).json["items"]}
        assert set(acknowledged) <= listed
    assert served.stop() == 0


def test_etcd_away_and_back(own_etcd: Etcd, start_served: Callable[..., Served]) -> None:
    served = start_served(own_etcd)
    first = served("POST", CMS, config_map("before")).json["metadata"]["resourceVersion"]
    watch = served.connect()
    watch.request("GET", f"{CMS}?watch=1&resourceVersion={first}", headers={"Authorization": "Bearer admin-token"})
    events = watch.getresponse()
    own_etcd.kill()
    started = time.monotonic()
    answer = served("POST", CMS, config_map("meanwhile"))
    assert time.monotonic() - started < 6
    # 504 from a worker that had not seen the first write yet, and can no longer wait for it.
    assert answer.code in (500, 503, 504)
    assert answer.json["kind"] == "Status"
    assert served("GET", "/readyz").code == 500
    assert served("GET", "/livez").code == 500
    # A worker that had not come to its own objects yet cannot now; which one answers is chance.
    assert any(served("GET", "/livez?exclude=etcd").code == 200 for _ in range(50))
    own_etcd.start()
    wait_until(lambda: served("POST", CMS, config_map("after")).code in (201, 409))
    assert json.loads(events.readline())["object"]["metadata"]["name"] == "after", "the watch went on by itself"
    names = {item["metadata"]["name"] for item in served("GET", CMS).json["items"]}
    assert {"before", "after"} <= names
    wait_until(lambda: served("GET", "/readyz").code == 200)
    watch.close()
    assert served.stop() == 0
    assert "Traceback" not in served.log


def test_a_renewed_certificate_is_served(
    etcd: Etcd, start_served: Callable[..., Served], make_pki: type[Pki], tmp_path: Path
) -> None:
    pki = make_pki(tmp_path)
    served = start_served(etcd, pki)

    def serial() -> bytes:
        raw = socket.create_connection(("127.0.0.1", served.port))
        with pki.client_context().wrap_socket(raw, server_hostname="127.0.0.1") as wrapped:
            certificate = wrapped.getpeercert(binary_form=True)
        assert certificate
        return bytes(certificate)

    before = serial()
    pki.issue("server", "/CN=apiserver")
    assert serial() != before
    assert served.stop() == 0


def wait_for_more(found: list[str], count: int = 40) -> None:
    target = len(found) + count
    wait_until(lambda: len(found) > target)


def wait_until(condition: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def run(works: list[Any]) -> None:
    """All at once; the first failure is raised here."""
    errors: list[BaseException] = []

    def guarded(work: Any) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if errors:
        raise errors[0]
