"""Builds an API server from its flags: the core, and the parts that the selected features bring along.

All of it is made before the workers are forked, so that they share its memory. Nothing here opens a connection or
starts a thread; ``Server.start`` does, in each worker.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from flask import Flask

from apiserver import features
from apiserver.admission.chain import Chain, chain
from apiserver.admission.namespacelifecycle import NamespaceLifecycle
from apiserver.admission.plugin import Plugin
from apiserver.api import scrape
from apiserver.api.app import Front, create_app
from apiserver.api.health import HealthChecks
from apiserver.api.nonresource import Documents
from apiserver.api.requestlog import set_verbosity
from apiserver.api.resources import Resources
from apiserver.api.reviews import binding_review
from apiserver.authorization.authn import Authenticator, TokenAuthenticator, TokenFile
from apiserver.authorization.everybody import AllowAuthenticated
from apiserver.config import Config
from apiserver.control import bootstrap
from apiserver.control.bootstrap import Bootstrap, BootstrapStep, OwnObjects
from apiserver.control.loop import Reconciler
from apiserver.features.feature import Base, Core, Feature
from apiserver.kinds.registry import Registry
from apiserver.kinds.services.ranges import ServiceRanges
from apiserver.model.attributes import Attributes, Visible
from apiserver.model.requestinfo import parse_request
from apiserver.registry.read import Reading
from apiserver.registry.reader import CacheReader
from apiserver.registry.rest import Rest
from apiserver.registry.served import BuiltinKinds, ServedKinds
from apiserver.schema import compiled
from apiserver.storage.cache import WatchCache
from apiserver.storage.compaction import Compaction
from apiserver.storage.protocol import Store
from apiserver.storage.revisions import AcknowledgedRevisions
from apiserver.streaming.tunnel import TUNNELS
from machinery.metrics import METRICS

K = TypeVar("K")
V = TypeVar("V")


class Task(Protocol):
    """Something that a worker does beside serving requests."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass(frozen=True)
class Server:
    """The parts of one worker."""

    store: Store
    cache: WatchCache
    builtin: Registry  # the rows of the core and of the selected features
    served: ServedKinds
    rest: Rest
    wsgi: Flask
    bootstrapped: threading.Event  # set when the server's own objects are there
    tasks: tuple[Task, ...]

    def start(self) -> None:
        """Begin to follow the store, and to keep what the server itself must keep."""
        self.cache.start()
        for task in self.tasks:
            task.start()

    def stop(self) -> None:
        """End watches and threads."""
        for task in self.tasks:
            task.stop()
        self.cache.stop()
        self.store.close()


class ApiServer:
    """What the web server serves (see ``serving.server.Preloaded``): a ``Server`` with what its workers share."""

    def __init__(self, config: Config) -> None:
        """Load all that the workers use, so that they share its memory when they are forked."""
        set_verbosity(config.verbosity)
        METRICS.share(config.blocks)
        self.server = assemble(config)
        self.request_timeout = config.request_timeout
        scrape.register(self.server.served, self.server.cache, self.server.store)
        kinds = self.server.builtin.kinds()
        subresources = (row.definition for kind in kinds for row in kind.subresources)
        compiled.preload([*(kind.definition for kind in kinds), *subresources])

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return self.server.wsgi(environ, start_response)

    def start(self, slot: int) -> None:
        METRICS.use_block(slot)
        self.server.cache.use_block(slot)
        self.server.start()

    def streams_body(self, environ: Mapping[str, Any]) -> bool:
        path = environ["PATH_INFO"]
        return "/proxy" in path and parse_request(environ["REQUEST_METHOD"], path).subresource == "proxy"

    def end_streams(self) -> None:
        self.server.cache.end_watches()
        TUNNELS.stop()

    def stop(self) -> None:
        self.server.stop()

    def forget(self, slot: int) -> None:
        METRICS.forget_gauges(slot)


def assemble(config: Config, store: Store | None = None) -> Server:
    """Build a server; ``store`` overrides the one that the flags name. Exits for flags that make no sense."""
    try:
        rows = features.load(config.features)
    except ValueError as error:
        raise SystemExit(f"apiserver: error: --features: {error}") from None
    ranges = ServiceRanges.parse(config.service_cluster_ip_range, config.service_node_port_range)
    builtin = features.registry_of(rows, ranges)
    store = store or open_store(config)
    cache = WatchCache(store, [kind.prefix for kind in builtin.stored()], AcknowledgedRevisions(config.blocks))
    base = Base(config, builtin, store, cache, CacheReader(cache))
    core = _verbs(base, rows)
    bootstrapped = threading.Event()
    own = Bootstrap(_steps(base, core, rows), bootstrapped.set)
    return Server(
        store,
        cache,
        builtin,
        core.served,
        core.rest,
        create_app(_front(base, core, rows, bootstrapped)),
        bootstrapped,
        (
            Reconciler("bootstrap", cache, own.sync, own.concerns, bootstrap.RESYNC),
            *(task for row in rows for task in row.tasks(core)),
            Compaction(store),
        ),
    )


def _verbs(base: Base, rows: Iterable[Feature]) -> Core:
    """Build the verbs from the core's parts and those of the features."""
    authorizer = next((row.authorizer(base) for row in rows if row.authorizer), AllowAuthenticated())
    plugins = [NamespaceLifecycle(), *(plugin for row in rows for plugin in row.admission(base, authorizer))]
    fields = next((row.fields for row in rows if row.fields), None)
    return Core(
        base.config,
        base.cache,
        (*_token_file(base.config), *(each for row in rows for each in row.authenticators(base))),
        authorizer,
        next((row.served(base) for row in rows if row.served), BuiltinKinds(base.builtin)),
        Rest(base.store, base.cache, _admission(base.config, plugins), authorizer, fields),
        Reading(base.store, base.cache, _merged(row.computed(base) for row in rows)),
    )


def _front(base: Base, core: Core, rows: Iterable[Feature], bootstrapped: threading.Event) -> Front:
    """Build what answers requests with the verbs."""
    config = base.config
    resources = Resources(
        core.rest,
        core.reading,
        base.cache,
        handlers={
            row: row.handler(config, core.rest)
            for kind in base.builtin.kinds()
            for row in kind.subresources
            if row.handler is not None
        },
        reviews=_merged([binding_review(core.rest), *(row.reviews(core) for row in rows)]),
        after_create=_merged(row.after_create(core) for row in rows),
    )
    documents = Documents(
        core.served,
        HealthChecks(base.store, base.cache, bootstrapped),
        _merged(row.documents(core) for row in rows),
        f"{config.advertise_address}:{config.secure_port}",
    )
    visible = next((partial(row.visible, core.authorizer) for row in rows if row.visible), _as_authorized)
    return Front(
        Authenticator(core.authenticators), core.authorizer, base.builtin, core.served, resources, documents, visible
    )


def _as_authorized(asked: Attributes) -> Visible | None:
    return None


def _steps(base: Base, core: Core, rows: Iterable[Feature]) -> Iterator[BootstrapStep]:
    services = base.builtin.find("", "v1", "services")
    yield OwnObjects(core.rest, bootstrap.wanted_objects(base.config, services))
    for row in rows:
        yield from row.steps(core)


def _token_file(config: Config) -> Iterator[TokenAuthenticator]:
    if config.token_auth_file:
        yield TokenFile(config.token_auth_file, config.audiences)


def _admission(config: Config, plugins: Iterable[Plugin]) -> Chain:
    """Return the chain of plugins; exits for a name in --disable-admission-plugins that is none of theirs."""
    try:
        return chain(plugins, config.disable_admission_plugins)
    except ValueError as error:
        raise SystemExit(f"apiserver: error: {error}") from None


def _merged(parts: Iterable[Mapping[K, V]]) -> dict[K, V]:
    return {key: value for part in parts for key, value in part.items()}


def open_store(config: Config) -> Store:
    """Return the store that the flags name; it does not connect yet."""
    if config.in_memory:
        from apiserver.storage.memory import MemoryStore

        return MemoryStore(config.memory_file)
    from apiserver.storage.etcd import EtcdStore

    return EtcdStore(config.etcd_servers)
