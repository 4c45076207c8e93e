"""Optimistic writes: how a write can begin with the cache and yet never be wrong.

A write that changes an object reads it, lets the change, the strategy and admission work on a copy, and stores the
result by compare-and-swap on the revision that it has read. Reading from the store would cost a round trip for each
write, so the object comes from the watch cache, which may be some milliseconds behind. That is safe, because

- a *success* is always right: the swap succeeds only if what was read is still what is stored;
- a *failed swap* (Changed) brings the newest object along, and the attempt is made again on that;
- an *error* (a conflict, an invalid field, an object that admission refuses) may be due to the old object alone. It is
  believed only of an object that came from the store; after the cache's the attempt is made again on the store's;
- *nothing to write* is likewise true only if the store confirms that the object is the newest (``Backend.confirm``).

``update.py`` and ``delete.py`` say what an attempt is. A create has nothing to read and does without all this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from apiserver.model.item import Item
from apiserver.registry.backend import Backend, item_of
from apiserver.registry.writerequest import WriteRequest
from apiserver.storage.protocol import Changed, Overtaken, TooLarge
from machinery.errors import ApiError, conflict, not_found

Result = TypeVar("Result")

# How often a write loses against other writers of its object before the client gets a Conflict. A client that sends a
# resourceVersion gets it the first time: its attempt itself raises it.
WRITE_ATTEMPTS = 100


def on_newest(backend: Backend, write: WriteRequest, attempt: Callable[[Item, bool], Result]) -> Result:
    """Return what ``attempt`` makes of the object of a write, which is tried again while it works on an old one.

    ``attempt`` is given the object and whether it comes from the store. Raises what it raises about the store's object,
    NotFound when there is none, and Conflict when others were always faster.
    """
    kind, key = write.kind, write.kind.key(write.namespace, write.name)
    item = backend.cache.get(kind.prefix, key)
    from_store = item is None
    if item is None:
        item = backend.stored(key)
    for _ in range(WRITE_ATTEMPTS):
        if item is None:
            raise not_found(kind.resource, write.name)
        try:
            return attempt(item, from_store)
        except Overtaken as error:
            # Another object of the transaction has changed, a quota: admission reads it from the cache.
            backend.cache.wait_for(error.revision)
            continue
        except Changed as error:
            item = item_of(error.current)
        except (ApiError, TooLarge):
            if from_store:
                raise
            item = backend.stored(key)
        from_store = True
    raise conflict(kind.resource, write.name)
