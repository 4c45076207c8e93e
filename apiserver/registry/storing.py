"""What create and update have in common: refusing, allocating, and storing what is almost too large."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice, repeat

import orjson

from apiserver.model.fieldmanager import Writer
from apiserver.model.item import Item
from apiserver.model.kind import Kind, Strategy
from apiserver.registry.backend import Backend
from apiserver.registry.optimistic import WRITE_ATTEMPTS
from apiserver.storage.protocol import Claimed, TooLarge
from machinery.errors import FieldError, conflict, invalid
from machinery.objects import Object

# Nobody reads more, and an object of three megabytes may have half a million.
_MOST_ERRORS = 1_000


def refuse(kind: Kind, name: str, *errors: Iterable[FieldError]) -> None:
    """Raise Invalid if there are errors. Checks are generators, and stop once _MOST_ERRORS are found."""
    found = list(islice(chain(*errors), _MOST_ERRORS))
    if found:
        raise invalid(kind.group_kind, name, found)


def with_claims(backend: Backend, kind: Kind, obj: Object, old: Object | None, store: Callable[[Object], Item]) -> Item:
    """Let the strategy choose the object's claims (a Service's address, a node port), and store it.

    A claim that looked free may be taken by another writer's transaction meanwhile, so that ``store`` raises Claimed:
    the strategy then chooses again. Raises Invalid when there is nothing to choose, Conflict when others were always
    faster.
    """
    lost: set[str] = set()
    name = obj["metadata"]["name"]
    for candidate in _candidates(kind, obj):
        errors = kind.strategy.allocate(candidate, old, lambda claim: claim in lost or backend.store.claimed(claim))
        refuse(kind, name, errors)
        try:
            return store(candidate)
        except Claimed as error:
            lost.add(error.claim)
    raise conflict(kind.resource, name, "too many others were allocating at the same time")


def _candidates(kind: Kind, obj: Object) -> Iterator[Object]:
    """Yield the object for each attempt: copies, where the strategy writes what it chooses into the object."""
    if type(kind.strategy).allocate is Strategy.allocate:
        yield from repeat(obj, WRITE_ATTEMPTS)
        return
    pristine = orjson.dumps(obj)
    for _ in range(WRITE_ATTEMPTS):
        yield orjson.loads(pristine)


def fitting(obj: Object, writer: Writer | None, store: Callable[[], Item]) -> Item:
    """Store an object; without managed fields if it is too large with them, unless it is applied (no ``writer``).

    Raises TooLarge.
    """
    try:
        return store()
    except TooLarge:
        if writer is None or obj["metadata"].pop("managedFields", None) is None:
            raise
        return store()
