"""Writers that know what they were promised, and watchers that remember all that they saw.

A writer counts: in each shared object it has a number of its own, which it raises by one at a time. So an update that
is lost, made twice or undone shows as a number that is not what it must be. When no answer comes to a write, either
number may be found; an answer counts for good.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterable
from contextlib import closing
from typing import Any, NamedTuple

from integration.served import ADMIN, Served

from apiserver.storage.protocol import Event

Object = dict[str, Any]
# What a client sees of a server that has just been killed.
BROKEN = (OSError, http.client.HTTPException)
JSON = "application/json"
MERGE = "application/merge-patch+json"


class Target:
    """The API server that runs now. A client that has lost it waits here for its successor."""

    def __init__(self, served: Served, namespace: str) -> None:
        self.path = f"/api/v1/namespaces/{namespace}/configmaps"
        self.store_up = threading.Event()
        self.store_up.set()
        self._moved = threading.Condition()
        self._generation = 0
        self._served = served

    def replace(self, served: Served) -> None:
        with self._moved:
            self._served = served
            self._generation += 1
            self._moved.notify_all()

    def current(self, after: int = -1) -> tuple[Served, int]:
        """The server of a later generation than ``after``."""
        with self._moved:
            assert self._moved.wait_for(lambda: self._generation > after, 30), "no server came back"
            return self._served, self._generation


class Connection:
    """One client's connection, made again after each crash; the kernel gives it to either worker."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._served, self._generation = target.current()
        self._connection = self._served.connect()

    def __call__(
        self, method: str, path: str, body: Object | None = None, content_type: str = JSON
    ) -> tuple[int, Object]:
        """Code and object; the code is 0 when no answer came."""
        data = None if body is None else json.dumps(body).encode()
        try:
            self._connection.request(method, self._target.path + path, data, {**ADMIN, "Content-Type": content_type})
            response = self._connection.getresponse()
            return response.status, json.loads(response.read())
        except BROKEN:
            self.renew()
            return 0, {}

    def stream(self, path: str) -> http.client.HTTPResponse:
        """An answer without an end."""
        self._connection.request("GET", self._target.path + path, headers=ADMIN)
        return self._connection.getresponse()

    def close(self) -> None:
        self._connection.close()

    def renew(self) -> None:
        """A new connection to the same server if it lives, else to the next."""
        self.close()
        if self._served.process.poll() is not None:
            self._served, self._generation = self._target.current(self._generation)
        self._connection = self._served.connect()


class Writer(threading.Thread):
    """Raises its number in the shared objects, and makes and removes objects of its own."""

    def __init__(self, target: Target, number: int, shared: int, turns: int, done: threading.Semaphore) -> None:
        super().__init__(name=f"writer-{number}")
        self.me = f"w{number}"
        self.acknowledged = 0
        self.unanswered = 0
        self.problems: list[str] = []
        self.exists: dict[str, bool | None] = {}  # objects of its own; None: nobody knows
        self.promised: dict[str, tuple[int, int]] = {}  # the least and the most that may be found in a shared object
        self._target, self._shared, self._turns, self._done = target, shared, turns, done
        self._ask, self._ask_another = Connection(target), Connection(target)

    def run(self) -> None:
        for turn in range(self._turns):
            name = f"shared-{(turn + int(self.me[1:])) % self._shared}"
            if turn % 5 == 4:
                self._come_and_go(turn)
            elif turn % 2:
                self._patch(name)
            else:
                self._replace(name)

    def close(self) -> None:
        self._ask.close()
        self._ask_another.close()

    def look(self, name: str) -> Object:
        """Reads a shared object, through the other connection, and checks the own number in it."""
        while True:
            code, obj = self._ask_another("GET", f"/{name}")
            if code == 200:
                break
            self._is_outage(code, f"GET {name}: {code} {obj}")
        found = int((obj.get("data") or {}).get(self.me, 0))
        least, most = self.promised.get(name, (0, 0))
        self._complain_unless(least <= found <= most, f"{name} has {found}, not {least} to {most}")
        # A write that was not answered may still show later: reads know of all that was acknowledged, no more.
        self.promised[name] = (found, most)
        return obj

    def _replace(self, name: str) -> None:
        """With the version that was read: a conflict means that nothing was written."""
        while True:
            obj = self.look(name)
            raised = self.promised[name][0] + 1
            obj["data"] = {**(obj.get("data") or {}), self.me: str(raised)}
            if self._write(name, raised, "PUT", f"/{name}", obj):
                return

    def _patch(self, name: str) -> None:
        while True:
            self.look(name)
            raised = self.promised[name][0] + 1
            if self._write(name, raised, "PATCH", f"/{name}", {"data": {self.me: str(raised)}}, MERGE):
                return

    def _write(self, name: str, raised: int, *request: Any) -> bool:
        """Tells whether it was acknowledged."""
        code, answer = self._ask(*request)
        if code == 200:
            self.promised[name] = (raised, raised)
            self._acknowledge()
        elif code != 409:
            self.promised[name] = (raised - 1, max(raised, self.promised[name][1]))
            self._is_outage(code, f"{request[0]} {name}: {code} {answer}")
        return bool(code == 200)

    def _come_and_go(self, turn: int) -> None:
        name = f"{self.me}-{turn}"
        for method, path, body, fine in (
            ("POST", "", {"metadata": {"name": name}}, 201),
            ("DELETE", f"/{name}", None, 200),
        )[: 1 + turn % 2]:
            code, answer = self._ask(method, path, body)
            if code != fine:
                self.exists[name] = None
                self._is_outage(code, f"{method} {name}: {code} {answer}")
                return
            self.exists[name] = method == "POST"
            self._acknowledge()

    def _acknowledge(self) -> None:
        self.acknowledged += 1
        self._done.release()

    def _is_outage(self, code: int, problem: str) -> None:
        """No answer, or that there is none to be had: 503 and 504. It is waited for better times."""
        self._complain_unless(code in (0, 503, 504), problem)
        self.unanswered += 1
        self._target.store_up.wait(30)

    def _complain_unless(self, fine: bool, problem: str) -> None:
        if not fine:
            self.problems.append(f"{self.me}: {problem}")


class Seen(NamedTuple):
    """One event."""

    revision: int
    type: str
    name: str


class Watcher(threading.Thread):
    """Lists once, then watches; after each break it goes on from the last revision that it has seen."""

    def __init__(self, target: Target, number: int) -> None:
        super().__init__(name=f"watcher-{number}")
        self.lines: list[bytes] = []
        self.breaks = 0
        self.problem = ""
        self.listed = threading.Event()
        self.reached = threading.Event()
        self.start_revision = 0
        self._until = b""
        self._connection = Connection(target)

    def run(self) -> None:
        try:
            _, answer = self._connection("GET", "")
            self.start_revision = revision = int(answer["metadata"]["resourceVersion"])
            self.listed.set()
            while not self.reached.is_set():
                revision = self._watch(revision)
                self.breaks += 1
        except Exception as error:
            self.problem = f"{self.name}: {error!r}"
            self.listed.set()
            self.reached.set()

    def close(self) -> None:
        self._connection.close()

    def stop_at(self, name: str) -> None:
        """Ends when an event of this object comes, which must still be to come."""
        self._until = f'"name":"{name}"'.encode()

    def events(self) -> list[Seen]:
        """All that was seen, in order."""
        return [_seen(line) for line in self.lines]

    def _watch(self, revision: int) -> int:
        try:
            with closing(self._connection.stream(f"?watch=true&resourceVersion={revision}")) as response:
                assert response.status == 200, response.read()
                for line in response:
                    assert b'"type":"ERROR"' not in line[:16], line
                    self.lines.append(line)
                    revision = _revision(line)
                    if self._until and self._until in line:
                        self.reached.set()
                        break
        except BROKEN:
            pass  # the server was killed: this is what is tested
        self._connection.renew()
        return revision


def _revision(line: bytes) -> int:
    """Read off the text: parsing fifty copies of everything takes longer than writing it."""
    mark = b'"resourceVersion":"'
    start = line.index(mark) + len(mark)
    return int(line[start : line.index(b'"', start)])


def _seen(line: bytes) -> Seen:
    event = json.loads(line)
    return Seen(_revision(line), event["type"], event["object"]["metadata"]["name"])


def truth(events: Iterable[Event]) -> list[Seen]:
    """The same from the store's own history."""
    found = []
    for event in events:
        kind = "DELETED" if event.value is None else "MODIFIED" if event.previous else "ADDED"
        found.append(Seen(event.revision, kind, event.key.rpartition("/")[2]))
    return found
