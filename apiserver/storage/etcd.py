"""The store on etcd, through the channel and stubs of the package etcd3.

A write is one transaction: it compares the revisions of the object, its claims and its swaps, and writes all of them or
none. If a comparison fails, its other branch reads what was compared, so that a failure needs no second round trip. The
helpers of the package are not used, because they would need one.

Every call has a deadline, so that requests fail promptly while etcd is away; gRPC reconnects by itself. The connection
is made on first use, because gRPC does not survive a fork.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from apiserver.storage import messages
from apiserver.storage.measure import measured
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

messages.install()
# gRPC's event engine hands each message from a poller's thread to one of a pool, and from there to the caller's.
# Without it the caller polls for itself: a message of a watch costs 67 instead of 110 µs of processor time, a
# transaction 180 instead of 210.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client")

import etcd3  # noqa: E402 - only with the messages in place
import grpc  # noqa: E402
import grpc.experimental  # noqa: E402
from etcd3 import etcdrpc as rpc  # noqa: E402

DEADLINE = 4.0  # seconds that an operation may take
LEASE_SHARED = 60  # keys written within so many seconds share a lease and so vanish together
# The key that holds the last compacted revision, under upstream's name.
COMPACTED_KEY = "compact_rev_key"
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.keepalive_time_ms", 15_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
    (grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1),
)


def parse_server(server: str) -> tuple[str, int]:
    """Return a server's host and port for etcd3.client; raises ValueError.

    A server is ``http://host:port``, ``host:port``, or ``unix:/path/to/socket:0`` as etcd names its sockets.
    """
    if server.startswith("unix:"):
        path, colon, port = server.removeprefix("unix://").removeprefix("unix:").rpartition(":")
        if not colon or not port.isdecimal():
            raise ValueError(
                f"--etcd-servers: {server!r} must end in ':0' as etcd names its sockets, unix:/path/etcd.sock:0"
            )
        return f"unix:{path}", int(port)
    url = urlsplit(server if "//" in server else f"//{server}")
    if url.scheme not in ("", "http") or not url.hostname:
        raise ValueError(f"--etcd-servers: {server!r} is neither http://host:port nor unix:/path/etcd.sock:0")
    return url.hostname, url.port or 2379


class EtcdStore:
    """A store on etcd: see ``Store`` for what the methods promise."""

    def __init__(self, server: str, deadline: float = DEADLINE) -> None:
        self._host, self._port = parse_server(server)
        self._deadline = deadline
        self._lock = threading.Lock()
        self._client: Any = None
        self._closed = False
        self._calls: set[Any] = set()  # open watches
        self._lease: tuple[int, int, float] = (0, 0, 0.0)  # id, time to live, until when it is shared

    def get(self, key: str) -> Entry | None:
        with measured("get", key):
            return _entry(self._call(self._kv.Range, rpc.RangeRequest(key=key.encode())))

    def list(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        with measured("list", prefix):
            request = rpc.RangeRequest(
                key=max(prefix, start).encode(), range_end=_range_end(prefix), limit=limit, revision=revision
            )
            answer = self._call(self._kv.Range, request)
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
            return bool(self._call(self._kv.Range, request).count)

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
        # etcd expects a stream of requests, of which the first is also the last here. So gRPC needs no thread of
        # its own to send more, and the one that iterates reads from the socket: 110 instead of 165 µs a message.
        watch = self._connection.channel.unary_stream(
            "/etcdserverpb.Watch/Watch", rpc.WatchRequest.SerializeToString, rpc.WatchResponse.FromString
        )
        with self._lock:
            if self._closed:
                return
            call = watch(rpc.WatchRequest(create_request=create))
            self._calls.add(call)
        try:
            for answer in call:
                if answer.canceled:
                    if answer.compact_revision:
                        raise Compacted(answer.compact_revision)
                    raise Unavailable(answer.cancel_reason or "etcd cancelled the watch")
                if answer.created:
                    continue
                events = list(map(_event, answer.events))
                # While a watch catches up, the header's revision is ahead of the events.
                yield Batch(events[-1].revision if events else answer.header.revision, events)
                if stop.is_set():
                    return
        except grpc.RpcError as error:
            if not stop.is_set():
                raise _translated(error) from error
        finally:
            with self._lock:
                self._calls.discard(call)
            call.cancel()

    def revision(self, *, wait_for_ready: bool = False) -> int:
        # gRPC works on a connection only while a caller waits for it, and otherwise once in five seconds. So the caller
        # has to wait for an etcd that is starting; a call that fails at once would never find it.
        request = rpc.RangeRequest(key=COMPACTED_KEY.encode(), count_only=True)
        answer = self._call(partial(self._kv.Range, wait_for_ready=wait_for_ready), request)
        return int(answer.header.revision)

    def size(self) -> int:
        status = rpc.MaintenanceStub(self._connection.channel).Status
        return int(self._call(status, rpc.StatusRequest()).dbSize)

    def compact(self, revision: int) -> None:
        if revision <= self._oldest():
            return
        self._call(self._kv.Put, rpc.PutRequest(key=COMPACTED_KEY.encode(), value=str(revision).encode()))
        try:
            self._call(self._kv.Compact, rpc.CompactionRequest(revision=revision))
        except Compacted:
            return  # another worker was faster

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for call in self._calls:
                call.cancel()
            if self._client is not None:
                self._client.close()

    @property
    def _connection(self) -> Any:
        if self._client is None:
            with self._lock:
                if self._closed:
                    raise Unavailable("the API server is stopping")
                if self._client is None:
                    self._client = etcd3.client(host=self._host, port=self._port, grpc_options=_OPTIONS)
        return self._client

    @property
    def _kv(self) -> Any:
        return self._connection.kvstub

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        try:
            return method(request, timeout=self._deadline)
        except ValueError:  # which gRPC raises for a closed channel
            raise Unavailable("the API server is stopping") from None
        except grpc.RpcError as error:
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
        answer = self._call(self._kv.Txn, rpc.TxnRequest(compare=compare, success=writes, failure=reads))
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
        granted = self._call(self._connection.leasestub.LeaseGrant, rpc.LeaseGrantRequest(TTL=ttl + LEASE_SHARED))
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


def _translated(error: Any) -> Exception:
    code, details = error.code(), error.details() or ""
    if code == grpc.StatusCode.OUT_OF_RANGE:
        return FutureRevision(details) if "future revision" in details else Compacted(0)
    if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED) and "large" in details:
        return TooLarge(details)
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return Unavailable("etcdserver: request timed out")
    if code == grpc.StatusCode.UNAVAILABLE:
        return Unavailable(f"etcd does not answer: {details.rpartition('error: ')[2]}")
    return Unavailable(f"etcd: {code.name}: {details}")
