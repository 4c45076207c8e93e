"""A feature is a row: an optional part of the API server, with everything that it brings along.

The core serves the verbs, watches, Tables and discovery of the kinds in ``kinds/rows.py``, to every user whom it can
authenticate; everything else is a feature. The core knows of none of them: ``assembly.py`` asks the row of each
selected feature for its parts, in the order in which a server is built:

1. ``kinds`` become rows of the registry, and so get a place in the store and in the watch cache. ``subresources`` are
   added to these rows, to those of other features and to the core's.
2. With a ``Base`` (store, cache, reader) come the parts that the verbs are made from: authenticators, the authorizer,
   admission plugins, managed fields, sources of computed kinds.
3. With a ``Core`` (the verbs) come the parts that use them: reviews, documents, and what runs beside the requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apiserver.admission.plugin import Plugin
from apiserver.api.nonresource import Document
from apiserver.api.reviews import Review
from apiserver.authorization.authn import TokenAuthenticator
from apiserver.config import Config
from apiserver.control.bootstrap import BootstrapStep
from apiserver.control.loop import Reconciler
from apiserver.kinds.registry import Registry
from apiserver.model.attributes import Attributes, Authorizer, Visible
from apiserver.model.item import Item
from apiserver.model.kind import Kind, Subresource
from apiserver.model.reader import Reader
from apiserver.registry.fieldmanager import FieldManager
from apiserver.registry.read import Computed, Reading
from apiserver.registry.rest import Rest
from apiserver.registry.served import ServedKinds
from apiserver.storage.cache import WatchCache
from apiserver.storage.protocol import Store


@dataclass(frozen=True)
class Base:
    """What there is before the verbs."""

    config: Config
    builtin: Registry  # the rows of the core and of the selected features
    store: Store
    cache: WatchCache
    reader: Reader


@dataclass(frozen=True)
class Core:
    """The verbs, and what they are made from."""

    config: Config
    cache: WatchCache
    authenticators: tuple[TokenAuthenticator, ...]
    authorizer: Authorizer
    served: ServedKinds
    rest: Rest
    reading: Reading


def _nothing(*_: Any) -> tuple[()]:
    return ()


def _no_entries(*_: Any) -> Mapping[Any, Any]:
    return {}


@dataclass(frozen=True)
class Feature:
    """One row. Whatever a feature does not bring along, it leaves out."""

    name: str
    requires: tuple[str, ...] = ()  # features without which this one makes no sense
    kinds: tuple[Kind, ...] = ()
    subresources: Mapping[str, tuple[Subresource, ...]] = field(default_factory=dict)  # by resource: ``pods`` → …

    authenticators: Callable[[Base], Iterable[TokenAuthenticator]] = _nothing
    # At most one feature decides who may do what. Without any, every authenticated user may do everything.
    authorizer: Callable[[Base], Authorizer] | None = None
    admission: Callable[[Base, Authorizer], Iterable[Plugin]] = _nothing
    fields: FieldManager | None = None  # at most one
    computed: Callable[[Base], Mapping[str, Computed]] = _no_entries  # resource → the source of its objects
    served: Callable[[Base], ServedKinds] | None = None  # at most one

    reviews: Callable[[Core], Mapping[str, Review]] = _no_entries  # resource → what answers a POST of it
    after_create: Callable[[Core], Mapping[str, Callable[[Item], Item]]] = _no_entries  # resource → what completes it
    documents: Callable[[Core], Mapping[str, Document]] = _no_entries  # path → what answers a GET of it
    steps: Callable[[Core], Iterable[BootstrapStep]] = _nothing  # what must be there before the server is ready
    tasks: Callable[[Core], Iterable[Reconciler]] = _nothing  # what runs in each worker beside the requests
    # At most one shows a part of a list to users who may not see it all; None leaves a request to the authorizer.
    visible: Callable[[Authorizer, Attributes], Visible | None] | None = None
