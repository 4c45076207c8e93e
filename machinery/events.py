"""Records events (``kubectl get events``) as upstream's recorder does: aggregated, limited, never in the way.

``event()`` only enqueues; one thread writes. The rules, from client-go's ``tools/record``:
- The same event again raises ``count`` and ``lastTimestamp`` of the first.
- More than 10 similar ones (all alike but the message) within 10 minutes become one,
  ``(combined from similar events): …``.
- One source may write 25 events on one object, then one every 5 minutes.
Events are best effort: what cannot be written after some tries is dropped.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from machinery import errors, objects
from machinery.objects import Object
from machinery.resources import EVENTS, Resource

log = logging.getLogger(__name__)

SIMILAR_LIMIT = 10
SIMILAR_SECONDS = 600.0
BURST = 25
REFILL_SECONDS = 300.0
REMEMBERED = 4096
QUEUE_LENGTH = 1000
WRITE_TRIES = 8


class EventWriter(Protocol):
    """What the recorder needs of a client."""

    def create(self, resource: Resource, obj: Object, namespace: str = "") -> Object: ...

    def patch(self, resource: Resource, name: str, namespace: str, body: Any) -> Object: ...


class Decision(NamedTuple):
    """Create ``event``, or raise the count of the ``existing`` event of that name to the one in ``event``."""

    event: Object
    existing: str


T = TypeVar("T")


class _Kept(Generic[T]):
    """A dictionary that forgets what was not used for longest."""

    def __init__(self) -> None:
        self._values: OrderedDict[Any, T] = OrderedDict()

    def get(self, key: Any, make: Callable[[], T]) -> T:
        value = self._values.pop(key, None)
        if value is None:
            value = make()
        self._values[key] = value
        if len(self._values) > REMEMBERED:
            self._values.popitem(last=False)
        return value


@dataclass
class _Similar:
    last: float
    messages: set[str] = field(default_factory=set)


@dataclass
class _Seen:
    count: int = 0
    name: str = ""
    first: str = ""


@dataclass
class _Bucket:
    tokens: float
    filled: float


class Correlator:
    """Decides what becomes of an event: dropped, written new, or counted on one that is there. No I/O."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._similar: _Kept[_Similar] = _Kept()
        self._seen: _Kept[_Seen] = _Kept()
        self._buckets: _Kept[_Bucket] = _Kept()

    def correlate(self, event: Object) -> Decision | None:
        """None if the event is one too many."""
        now = self._clock()
        source = tuple(sorted(event["source"].items()))
        subject = tuple(sorted((k, v) for k, v in event["involvedObject"].items() if k != "resourceVersion"))
        if not self._allowed((source, subject), now):
            return None
        group = (source, subject, event["type"], event["reason"])
        similar = self._similar.get(group, lambda: _Similar(now))
        if now - similar.last > SIMILAR_SECONDS:
            similar.messages.clear()
        similar.last = now
        similar.messages.add(event["message"])
        same: tuple[Any, ...] = (*group, event["message"])
        if len(similar.messages) >= SIMILAR_LIMIT:
            similar.messages.pop()
            event = {**event, "message": f"(combined from similar events): {event['message']}"}
            same = group
        seen = self._seen.get(same, _Seen)
        if seen.count == 0:
            seen.name, seen.first = event["metadata"]["name"], event["firstTimestamp"]
        seen.count += 1
        existing = seen.name if seen.count > 1 else ""
        return Decision({**event, "count": seen.count, "firstTimestamp": seen.first}, existing)

    def written(self, event: Object, name: str) -> None:
        """Remembers under which name an event now stands, after its first writing was lost."""
        source = tuple(sorted(event["source"].items()))
        subject = tuple(sorted((k, v) for k, v in event["involvedObject"].items() if k != "resourceVersion"))
        group = (source, subject, event["type"], event["reason"])
        combined = event["message"].startswith("(combined from similar events): ")
        self._seen.get(group if combined else (*group, event["message"]), _Seen).name = name

    def _allowed(self, who: Any, now: float) -> bool:
        bucket = self._buckets.get(who, lambda: _Bucket(BURST, now))
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.filled) / REFILL_SECONDS)
        bucket.filled = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True


class EventRecorder:
    """Records what a component did to objects, or saw happening to them."""

    def __init__(self, client: EventWriter, component: str, host: str = "") -> None:
        self._client = client
        self._source = {"component": component, **({"host": host} if host else {})}
        self._queue: queue.Queue[Object | None] = queue.Queue(QUEUE_LENGTH)
        self._correlator = Correlator()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def event(self, obj: Object, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Records a Normal or Warning event on an object (with kind and apiVersion), or on a reference to one."""
        reference = objects.object_reference(obj) if "metadata" in obj else dict(obj)
        if field_path:
            reference["fieldPath"] = field_path
        namespace = reference.get("namespace") or "default"
        now = objects.now()
        event = {
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {"name": f"{reference['name']}.{time.time_ns():x}", "namespace": namespace},
            "involvedObject": reference,
            "reason": reason,
            "message": message,
            "source": self._source,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": type,
            "eventTime": None,
            "reportingComponent": self._source["component"],
            "reportingInstance": self._source.get("host", ""),
        }
        log.debug("event %s %s: %s %s", reference.get("kind"), reference.get("name"), reason, message)
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            log.warning("too many events wait to be written; dropped %s on %s", reason, reference.get("name"))
            return
        self._ensure_thread()

    def close(self, timeout: float = 1.0) -> None:
        """Writes what still waits, as far as the time allows."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout)
        self._closed.set()

    def _ensure_thread(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="events", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (event := self._queue.get()) is not None:
            decision = self._correlator.correlate(event)
            if decision is not None:
                self._write(decision)

    def _write(self, decision: Decision) -> None:
        event, delay = decision.event, 0.1
        for _ in range(WRITE_TRIES):
            try:
                self._write_once(decision)
                return
            except (errors.ServiceUnavailable, errors.Timeout, errors.TooManyRequests, errors.InternalError) as error:
                log.debug("event %s waits: %s", event["metadata"]["name"], error)
                if self._closed.wait(delay):
                    return
                delay *= 2
            except errors.ApiError as error:
                # E.g. Forbidden because the namespace is being terminated: not worth another try.
                log.debug("event %s dropped: %s", event["metadata"]["name"], error)
                return
            except Exception:
                log.exception("event %s dropped", event["metadata"]["name"])
                return

    def _write_once(self, decision: Decision) -> None:
        event, namespace = decision.event, decision.event["metadata"]["namespace"]
        if decision.existing:
            changed = {name: event[name] for name in ("count", "lastTimestamp", "message")}
            try:
                self._client.patch(EVENTS, decision.existing, namespace, changed)
                return
            except errors.NotFound:
                # It expired or was never written: write this one instead, under its own name.
                self._correlator.written(event, event["metadata"]["name"])
        self._client.create(EVENTS, event, namespace)
