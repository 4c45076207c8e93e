"""What the API server asks of a store: a dozen operations with the semantics of etcd's v3 API, and no more.

One revision counts every transaction. A write is a compare-and-swap on a key's last revision; *claims* are further
keys (a VIP, a node port) that the same transaction takes or gives back, so that nothing is handed out twice and nothing
leaks; *swaps* are other objects (a quota that counts this one) that it replaces, each at the revision that is known.
A shape that the Protocol does not offer is refused by its types, never approximated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from threading import Event as Stop
from typing import NamedTuple, Protocol


class Entry(NamedTuple):
    """A key with its value and the revision of its last change."""

    key: str
    value: bytes
    revision: int


class Page(NamedTuple):
    """Entries in the order of their keys, all as of one revision; ``total`` counts those behind the page as well."""

    entries: list[Entry]
    revision: int
    total: int


class Event(NamedTuple):
    """One change. ``value`` is None for a deletion, ``previous`` is None for a creation or when history lost it."""

    key: str
    value: bytes | None
    previous: bytes | None
    revision: int


class Batch(NamedTuple):
    """All changes up to ``revision`` that were not in an earlier batch; without events it only reports progress."""

    revision: int
    events: list[Event]


class StoreError(Exception):
    """The root of what a store raises."""


class Unavailable(StoreError):
    """No answer in time. A write may have happened or not."""


class TooLarge(StoreError):
    """The store does not take values of this size."""


class Compacted(StoreError):
    """The revision asked for is gone; ``oldest`` is the first that is still there."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"history before revision {oldest} is compacted")
        self.oldest = oldest


class FutureRevision(StoreError):
    """The revision asked for has not happened yet."""


class Changed(StoreError):
    """The key is not at the expected revision; ``current`` is what it is now, None when it does not exist."""

    def __init__(self, current: Entry | None) -> None:
        super().__init__("changed meanwhile")
        self.current = current


class Claimed(StoreError):
    """``claim`` belongs to another object; nothing was written."""

    def __init__(self, claim: str) -> None:
        super().__init__(f"{claim} is taken")
        self.claim = claim


class Overtaken(StoreError):
    """A key of ``swaps`` is at another ``revision`` than the expected one, 0 if it is gone; nothing was written."""

    def __init__(self, revision: int) -> None:
        super().__init__("another object of the transaction changed meanwhile")
        self.revision = revision


class Store(Protocol):
    """Thread-safe; connects on first use, so that it may be made before a fork. Everything raises Unavailable."""

    def get(self, key: str) -> Entry | None:
        """The newest value."""

    def list(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        """Entries below ``prefix`` from ``start`` on, as of a revision (0: now). Raises Compacted, FutureRevision."""

    def create(
        self, key: str, value: bytes, *, claims: Iterable[str] = (), swaps: Sequence[Entry] = (), ttl: int = 0
    ) -> int:
        """Writes a key that must not exist and returns the revision. Raises Changed, Claimed, Overtaken.

        ``ttl`` seconds later, or a little after, the key vanishes by itself.
        """

    def update(
        self,
        key: str,
        value: bytes,
        revision: int,
        *,
        claims: Iterable[str] = (),
        released: Iterable[str] = (),
        swaps: Sequence[Entry] = (),
        ttl: int = 0,
    ) -> int:
        """Replaces what was last changed at ``revision``; takes and gives back claims. Raises as ``create``."""

    def delete(self, key: str, revision: int, *, released: Iterable[str] = ()) -> int:
        """Removes the key last changed at ``revision`` with its claims. Raises Changed."""

    def claimed(self, claim: str) -> bool:
        """Whether an object has the claim."""

    def watch(self, prefix: str, revision: int, stop: Stop, *, previous: bool = True) -> Iterator[Batch]:
        """Changes from ``revision`` on, without end until ``stop`` is set and ``close`` called. Raises Compacted.

        Who does not need ``previous`` spares the store looking for it.
        """

    def revision(self, *, wait_for_ready: bool = False) -> int:
        """The newest revision. ``patient`` waits for a store that is away, until it is back or the deadline is over."""

    def size(self) -> int:
        """How many bytes the store takes, about."""

    def compact(self, revision: int) -> None:
        """Forgets values that were replaced before ``revision``. Compacting twice is no error."""

    def close(self) -> None:
        """Ends watches and connections."""
