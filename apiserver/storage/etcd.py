"""The store on etcd: the messages are those of the package etcd3, and carried by rpc.py.

A write is one transaction: it compares the revisions of the object, its claims and its swaps, and writes all of them or
none. If a comparison fails, its other branch reads what was compared, so that a failure needs no second round trip.

Every call has a timeout, so that requests fail promptly while etcd is away. Connections are made when they are needed,
so that a store can be made before the workers are forked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from apiserver.storage.measure import measured
from apiserver.storage.messages import load
from apiserver.storage.protocol import (
    NO_OPTIONS,
    Batch,
    Changed,
    Claimed,
    Compacted,
    Entry,
    Event,
    FutureRevision,
    Overtaken,
    Page,
    TooLarge,
    Unavailable,
    WriteOptions,
)
from apiserver.storage.rpc import Address, Code, Connection, Pool, RpcError, method_head

rpc = load()

DEADLINE = 4.0  # seconds that an operation may take
LEASE_SHARED = 60  # keys written within so many seconds share a lease and so vanish together
# The key that holds the last compacted revision, under upstream's name.
COMPACTED_KEY = "compact_rev_key"


class _Method(NamedTuple):
    head: bytes
    answer: Any  # the class of its message


def _method(name: str, answer: Any) -> _Method:
    return _Method(method_head(f"/etcdserverpb.{name}"), answer)


_RANGE = _method("KV/Range", rpc.RangeResponse)
_PUT = _method("KV/Put", rpc.PutResponse)
_TXN = _method("KV/Txn", rpc.TxnResponse)
_COMPACT = _method("KV/Compact", rpc.CompactionResponse)
_WATCH = _method("Watch/Watch", rpc.WatchResponse)
_LEASE_GRANT = _method("Lease/LeaseGrant", rpc.LeaseGrantResponse)
_STATUS = _method("Maintenance/Status", rpc.StatusResponse)


def parse_server(server: str) -> Address:
    """Return a server's address; raises ValueError.

    A server is ``http://host:port``, ``host:port``, or ``unix:/path/to/socket:0`` as etcd names its sockets.
    """
    if server.startswith("unix:"):
        path, colon, port = server.removeprefix("unix://").removeprefix("unix:").rpartition(":")
        if not colon or not port.isdecimal():
            raise ValueError(
                f"--etcd-servers: {server!r} must end in ':0' as etcd names its sockets, unix:/path/etcd.sock:0"
            )
        return f"{path}:{port}"
    url = urlsplit(server if "//" in server else f"//{server}")
    if url.scheme not in ("", "http") or not url.hostname:
        raise ValueError(f"--etcd-servers: {server!r} is neither http://host:port nor unix:/path/etcd.sock:0")
    return url.hostname, url.port or 2379


class EtcdStore:
    """A store on etcd: see ``Store`` for what the methods promise."""

    def __init__(self, server: str, deadline: float = DEADLINE) -> None:
        self._address = parse_server(server)
        self._pool = Pool(self._address, deadline)
        self._lock = threading.Lock()
        self._closed = False
        self._watches: set[Connection] = set()
        self._lease: tuple[int, int, float] = (0, 0, 0.0)  # id, time to live, until when it is shared

    def get(self, key: str) -> Entry | None:
        with measured("get", key):
            return _entry(self._call(_RANGE, rpc.RangeRequest(key=key.encode())))

    def list(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        with measured("list", prefix):
            request = rpc.RangeRequest(
                key=max(prefix, start).encode(), range_end=_range_end(prefix), limit=limit, revision=revision
            )
            answer = self._call(_RANGE, request)
            entries = [Entry(kv.key.decode(), kv.value, kv.mod_revision) for kv in answer.kvs]
            return Page(entries, revision or answer.header.revision, answer.count)

    def create(self, key: str, value: bytes, options: WriteOptions = NO_OPTIONS) -> int:
        with measured("create", key):
            return self._put(key, value, 0, options)

    def update(self, key: str, value: bytes, revision: int, options: WriteOptions = NO_OPTIONS) -> int:
        with measured("update", key):
            return self._put(key, value, revision, options)

    def delete(self, key: str, revision: int, *, released: Iterable[str] = ()) -> int:
        with measured("delete", key):
            writes = [_deletion(name) for name in (key, *released)]
            return self._transact(key, revision, NO_OPTIONS, writes)

    def claimed(self, claim: str) -> bool:
        with measured("get", claim):
            request = rpc.RangeRequest(key=claim.encode(), count_only=True)
            return bool(self._call(_RANGE, request).count)

    def watch(self, prefix: str, revision: int, stop: threading.Event, *, previous: bool = True) -> Iterator[Batch]:
        if stop.is_set():
            return
        create = rpc.WatchCreateRequest(
            key=prefix.encode(),
            range_end=_range_end(prefix),
            start_revision=revision,
            prev_kv=previous,
            progress_notify=True,
        )
        # etcd expects a stream of requests, of which the first is also the last here.
        request = rpc.WatchRequest(create_request=create).SerializeToString()
        try:
            connection = Connection(self._address, None)
            with self._lock:
                if self._closed:
                    connection.close()
                    return
                self._watches.add(connection)
            try:
                yield from _batches(connection.stream(_WATCH.head, request), stop)
            finally:
                with self._lock:
                    self._watches.discard(connection)
                connection.close()
        except (RpcError, OSError) as error:
            if not stop.is_set():
                raise _translated(error) from error

    def revision(self) -> int:
        answer = self._call(_RANGE, rpc.RangeRequest(key=COMPACTED_KEY.encode(), count_only=True))
        return int(answer.header.revision)

    def size(self) -> int:
        return int(self._call(_STATUS, rpc.StatusRequest()).dbSize)

    def compact(self, revision: int) -> None:
        if revision <= self._oldest():
            return
        self._call(_PUT, rpc.PutRequest(key=COMPACTED_KEY.encode(), value=str(revision).encode()))
        try:
            self._call(_COMPACT, rpc.CompactionRequest(revision=revision))
        except Compacted:
            return  # another worker was faster

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for connection in self._watches:
                connection.close()
        self._pool.close()

    def _call(self, method: _Method, request: Any) -> Any:
        if self._closed:
            raise Unavailable("the API server is stopping")
        try:
            return method.answer.FromString(self._pool.call(method.head, request.SerializeToString()))
        except (RpcError, OSError) as error:
            raised = _translated(error)
            if isinstance(raised, Compacted):
                raised = Compacted(self._oldest())
            raise raised from error

    def _oldest(self) -> int:
        found = self.get(COMPACTED_KEY)
        return int(found.value) if found else 0

    def _put(self, key: str, value: bytes, revision: int, options: WriteOptions) -> int:
        lease = self._lease_for(options.ttl) if options.ttl else 0
        put = rpc.RequestOp(request_put=rpc.PutRequest(key=key.encode(), value=value, lease=lease))
        options = options._replace(claims=tuple(dict.fromkeys(options.claims)))
        others = [(claim, key.encode()) for claim in options.claims]
        others += [(swap.key, swap.value) for swap in options.swaps]
        puts = [rpc.RequestOp(request_put=rpc.PutRequest(key=name.encode(), value=what)) for name, what in others]
        return self._transact(key, revision, options, [put, *puts, *map(_deletion, options.released)])

    def _transact(self, key: str, revision: int, options: WriteOptions, writes: Sequence[Any]) -> int:
        """Make all writes in one transaction, if the key, swaps and claims are at the expected revisions.

        Otherwise the transaction's other branch reads all that was compared, which tells what to raise.
        """
        claims, swaps = options.claims, options.swaps
        compared = [(key, revision), *((claim, 0) for claim in claims), *((swap.key, swap.revision) for swap in swaps)]
        compare = [_unchanged(name, at) for name, at in compared]
        reads = [_reading(name) for name, _ in compared]
        answer = self._call(_TXN, rpc.TxnRequest(compare=compare, success=writes, failure=reads))
        if answer.succeeded:
            return int(answer.header.revision)
        current, *others = (_entry(response.response_range) for response in answer.responses)
        if (current.revision if current else 0) != revision:
            raise Changed(current)
        for claim, holder in zip(claims, others, strict=False):
            if holder is not None:
                raise Claimed(claim)
        for swap, found in zip(swaps, others[len(claims) :], strict=True):
            if (found.revision if found else 0) != swap.revision:
                raise Overtaken(found.revision if found else 0)
        raise Changed(current)  # a claim was given back in between: the caller tries again

    def _lease_for(self, ttl: int) -> int:
        now = time.monotonic()
        with self._lock:
            lease, its_ttl, until = self._lease
            if its_ttl == ttl and now < until:
                return lease
        granted = self._call(_LEASE_GRANT, rpc.LeaseGrantRequest(TTL=ttl + LEASE_SHARED))
        with self._lock:
            self._lease = (granted.ID, ttl, now + LEASE_SHARED)
        return int(granted.ID)


def _range_end(prefix: str) -> bytes:
    encoded = prefix.encode()
    return encoded[:-1] + bytes([encoded[-1] + 1])


def _entry(answer: Any) -> Entry | None:
    for kv in answer.kvs:
        return Entry(kv.key.decode(), kv.value, kv.mod_revision)
    return None


def _event(event: Any) -> Event:
    kv = event.kv
    before = event.prev_kv.value or None if event.HasField("prev_kv") else None
    return Event(kv.key.decode(), None if event.type else kv.value, before, kv.mod_revision)


def _unchanged(key: str, revision: int) -> Any:
    return rpc.Compare(key=key.encode(), target=rpc.Compare.MOD, result=rpc.Compare.EQUAL, mod_revision=revision)


def _reading(key: str) -> Any:
    return rpc.RequestOp(request_range=rpc.RangeRequest(key=key.encode()))


def _deletion(key: str) -> Any:
    return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key.encode()))


def _batches(answers: Iterable[list[bytes]], stop: threading.Event) -> Iterator[Batch]:
    """Yield what the answers to a watch report, until ``stop``. Raises Compacted, Unavailable."""
    for messages in answers:
        events: list[Event] = []
        revision = 0
        for message in messages:
            answer = rpc.WatchResponse.FromString(message)
            if answer.canceled:
                if answer.compact_revision:
                    raise Compacted(answer.compact_revision)
                raise Unavailable(answer.cancel_reason or "etcd cancelled the watch")
            if not answer.created:
                events += map(_event, answer.events)
                # While a watch catches up, the header's revision is ahead of the events.
                revision = events[-1].revision if answer.events else answer.header.revision
        if revision:
            yield Batch(revision, events)
        if stop.is_set():
            return


def _translated(error: RpcError | OSError) -> Exception:
    if isinstance(error, BlockingIOError):
        return Unavailable("etcdserver: request timed out")
    if isinstance(error, OSError):
        return Unavailable(f"etcd does not answer: {error.strerror or error}")
    code, details = error.code, error.details
    if code == Code.OUT_OF_RANGE:
        return FutureRevision(details) if "future revision" in details else Compacted(0)
    if code in (Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED) and "large" in details:
        return TooLarge(details)
    return Unavailable(f"etcd: {details}")
