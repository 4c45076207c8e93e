"""What the API server asks of a store: a dozen operations with the semantics of etcd's v3 API, and no more.

One revision counts every transaction. A write is a compare-and-swap on a key's last revision; *claims* are further
keys (a VIP, a node port) that the same transaction takes or gives back, so that nothing is handed out twice and nothing
leaks; *swaps* are other objects (a quota that counts this one) that it replaces, each at the revision that is known.
A shape that the Protocol does not offer is refused by its types, never approximated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from threading import Event as Stop
from typing import NamedTuple, Protocol


class Entry(NamedTuple):
    """A key with its value and the revision of its last change."""

    key: str
    value: bytes
    revision: int


class Page(NamedTuple):
    """A part of a list: entries in the order of their keys, all as of one revision.

    ``total`` is how many entries there are from the first of the page on, including those behind the page.
    """

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
    """All changes up to ``revision`` that were not in an earlier batch of the same watch, in order.

    Without events it reports progress: nothing has changed below the prefix up to this revision.
    """

    revision: int
    events: list[Event]


class WriteOptions(NamedTuple):
    """What a transaction does besides writing its key."""

    claims: Collection[str] = ()  # to take; a claim that another object holds makes the transaction fail
    released: Collection[str] = ()  # claims to give back
    swaps: Sequence[Entry] = ()  # other objects to replace, each at the revision that the entry states
    ttl: int = 0  # seconds after which, or a little later, the store deletes the key; 0 means never


NO_OPTIONS = WriteOptions()


class StoreError(Exception):
    """The base of all errors that a store raises."""


class Unavailable(StoreError):
    """The store has not answered in time. A write may have happened or not."""


class TooLarge(StoreError):
    """The store does not take a value of this size; nothing was written."""


class Compacted(StoreError):
    """The requested revision has been compacted; ``oldest`` is the first that is still there."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"history before revision {oldest} is compacted")
        self.oldest = oldest


class FutureRevision(StoreError):
    """The requested revision has not happened yet."""


class Changed(StoreError):
    """The key is not at the expected revision; nothing was written.

    ``current`` is what it is now, None if it does not exist.
    """

    def __init__(self, current: Entry | None) -> None:
        super().__init__("changed meanwhile")
        self.current = current


class Claimed(StoreError):
    """Another object holds ``claim``; nothing was written."""

    def __init__(self, claim: str) -> None:
        super().__init__(f"{claim} is taken")
        self.claim = claim


class Overtaken(StoreError):
    """A key of ``swaps`` is not at the expected revision; nothing was written.

    ``revision`` is the one that it is at, 0 if the key is gone.
    """

    def __init__(self, revision: int) -> None:
        super().__init__("another object of the transaction changed meanwhile")
        self.revision = revision


class Store(Protocol):
    """A key-value store with revisions. All methods are thread-safe, and all raise Unavailable.

    A store connects on first use, so that it can be made before the workers are forked.
    """

    def get(self, key: str) -> Entry | None:
        """Return the key's newest entry, or None if it does not exist."""

    def list(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        """Return the entries whose keys begin with ``prefix`` and are not before ``start``; ``limit`` 0 is no limit.

        They are as of ``revision``, 0 being the newest. Raises Compacted or FutureRevision.
        """

    def create(self, key: str, value: bytes, options: WriteOptions = NO_OPTIONS) -> int:
        """Write a key that must not exist; return the revision of the transaction.

        Raises Changed if the key exists, Claimed, Overtaken or TooLarge.
        """

    def update(self, key: str, value: bytes, revision: int, options: WriteOptions = NO_OPTIONS) -> int:
        """Replace the value that was last changed at ``revision``; return the new revision.

        Raises as ``create``; Changed if the key is at another revision.
        """

    def delete(self, key: str, revision: int, *, released: Iterable[str] = ()) -> int:
        """Delete the key last changed at ``revision``, and give back claims; return the revision. Raises Changed."""

    def claimed(self, claim: str) -> bool:
        """Return True if some object holds the claim."""

    def watch(self, prefix: str, revision: int, stop: Stop, *, previous: bool = True) -> Iterator[Batch]:
        """Yield all changes below ``prefix`` from ``revision`` on, in order, each once; blocks until there are some.

        Ends when ``stop`` is set and ``close`` is called. Raises Compacted if changes that were not yielded are gone.
        Without ``previous`` the events' previous values are None, which spares the store looking for them.
        """

    def revision(self) -> int:
        """Return the newest revision."""

    def size(self) -> int:
        """Return about how many bytes the store takes."""

    def compact(self, revision: int) -> None:
        """Forget values that were replaced before ``revision``. Compacting twice is no error."""

    def close(self) -> None:
        """End all watches and connections."""
