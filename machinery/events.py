"""Record events, which ``kubectl describe`` and ``kubectl get events`` show, as upstream's recorder does.

``EventRecorder.event`` only enqueues; one thread writes, so that a component never waits for its events. To keep a
failing pod from filling the store, the correlator applies the rules of client-go's ``tools/record``:

- The same event again is not written anew, but raises ``count`` and ``lastTimestamp`` of the first.
- Of events within 10 minutes that differ in nothing but the message, the tenth and all later ones are counted on one
  event, ``(combined from similar events): …``.
- One source may write 25 events about one object at once, and then one more every 5 minutes; others are dropped.

Events are best effort: one that cannot be written after WRITE_ATTEMPTS, over some seconds, is dropped.
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
CACHE_SIZE = 4096  # events, groups of events, sources: each
QUEUE_LENGTH = 1000
WRITE_ATTEMPTS = 8


class EventWriter(Protocol):
    """What the recorder needs of a client."""

    def create(self, resource: Resource, obj: Object, namespace: str = "") -> Object: ...

    def patch(self, resource: Resource, name: str, namespace: str, body: Any) -> Object: ...


class CorrelateResult(NamedTuple):
    """What to write: ``event`` as a new event, or its count and time into the ``existing`` event of that name."""

    event: Object
    existing: str


T = TypeVar("T")


class _LruCache(Generic[T]):
    """A dictionary of CACHE_SIZE entries at most, from which the least recently used is removed."""

    def __init__(self) -> None:
        self._values: OrderedDict[Any, T] = OrderedDict()

    def get(self, key: Any, make: Callable[[], T]) -> T:
        value = self._values.pop(key, None)
        if value is None:
            value = make()
        self._values[key] = value
        if len(self._values) > CACHE_SIZE:
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
    """Decides whether an event is dropped, written as a new one, or counted on an existing one. No I/O."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._similar: _LruCache[_Similar] = _LruCache()
        self._seen: _LruCache[_Seen] = _LruCache()
        self._buckets: _LruCache[_Bucket] = _LruCache()

    def correlate(self, event: Object) -> CorrelateResult | None:
        """Return what to write for an event; None if its source has written too many about the object."""
        now = self._clock()
        group = _group(event)
        source_and_object = group[:2]
        if not self._take_token(source_and_object, now):
            return None
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
        return CorrelateResult({**event, "count": seen.count, "firstTimestamp": seen.first}, existing)

    def written(self, event: Object, name: str) -> None:
        """Note the name under which an event was written again, after the first was not found."""
        group = _group(event)
        combined = event["message"].startswith("(combined from similar events): ")
        self._seen.get(group if combined else (*group, event["message"]), _Seen).name = name

    def _take_token(self, source_and_object: Any, now: float) -> bool:
        """Take a token from the bucket of a source and an object; return False if it is empty."""
        bucket = self._buckets.get(source_and_object, lambda: _Bucket(BURST, now))
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.filled) / REFILL_SECONDS)
        bucket.filled = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True


def _group(event: Object) -> tuple[Any, ...]:
    """Return all by which similar events are alike: source, object, type and reason."""
    source = tuple(sorted(event["source"].items()))
    involved = tuple(sorted((k, v) for k, v in event["involvedObject"].items() if k != "resourceVersion"))
    return source, involved, event["type"], event["reason"]


class EventRecorder:
    """Records what a component did to objects, or what it saw happen to them."""

    def __init__(self, client: EventWriter, component: str, host: str = "") -> None:
        self._client = client
        self._source = {"component": component, **({"host": host} if host else {})}
        self._queue: queue.Queue[Object | None] = queue.Queue(QUEUE_LENGTH)
        self._correlator = Correlator()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def event(self, obj: Object, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Record an event of ``type`` Normal or Warning about an object, which has its kind, or an ObjectReference."""
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
        """Write the events that still wait, for at most ``timeout`` seconds, then end."""
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
            result = self._correlator.correlate(event)
            if result is not None:
                self._write(result)

    def _write(self, result: CorrelateResult) -> None:
        event, delay = result.event, 0.1
        for _ in range(WRITE_ATTEMPTS):
            try:
                self._write_once(result)
                return
            except (errors.ServiceUnavailable, errors.Timeout, errors.TooManyRequests, errors.InternalError) as error:
                log.debug("event %s is not written yet: %s", event["metadata"]["name"], error)
                if self._closed.wait(delay):
                    return
                delay *= 2
            except errors.ApiError as error:
                # Another attempt would not help, e.g. when the namespace is being terminated (Forbidden).
                log.debug("event %s dropped: %s", event["metadata"]["name"], error)
                return
            except Exception:
                log.exception("event %s dropped", event["metadata"]["name"])
                return

    def _write_once(self, result: CorrelateResult) -> None:
        event, namespace = result.event, result.event["metadata"]["namespace"]
        if result.existing:
            changed = {name: event[name] for name in ("count", "lastTimestamp", "message")}
            try:
                self._client.patch(EVENTS, result.existing, namespace, changed)
                return
            except errors.NotFound:
                # It has expired or was never written, so this one is written under its own name.
                self._correlator.written(event, event["metadata"]["name"])
        self._client.create(EVENTS, event, namespace)
