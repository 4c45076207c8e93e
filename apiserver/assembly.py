"""Puts the API server together: from flags to the parts that serve requests, made before the workers are forked.

Nothing here opens a connection or starts a thread; ``Server.start`` does, in each worker.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Protocol

from flask import Flask

from apiserver import features, managedfields
from apiserver.admission.chain import Chain, chain
from apiserver.admission.standard import standard_plugins
from apiserver.api import issuer, scrape
from apiserver.api.accessreviews import access_reviews
from apiserver.api.app import Front, create_app
from apiserver.api.health import Health
from apiserver.api.issuer import IssuerDocuments
from apiserver.api.nonresource import Documents
from apiserver.api.requestlog import set_verbosity
from apiserver.api.resources import Resources
from apiserver.api.reviews import reviews
from apiserver.api.tokenrequest import TokenRequests
from apiserver.authorization.authn import Authenticator, TokenAuthenticator, TokenFile
from apiserver.authorization.authorizer import UnionAuthorizer
from apiserver.authorization.node import NodeAuthorizer
from apiserver.authorization.objects import CachedObjects, CachedPods
from apiserver.authorization.ownership import Visible, visible
from apiserver.authorization.policy import Policy
from apiserver.authorization.rbac import Rbac
from apiserver.authorization.tokens import PublicKey, Signer, Verifier, read_public_keys
from apiserver.config import Config
from apiserver.control import bootstrap, projects
from apiserver.control import definitions as controller
from apiserver.control.bootstrap import Bootstrap
from apiserver.control.definitions import Definitions
from apiserver.control.loop import Reconciler
from apiserver.control.policykeeper import PolicyKeeper
from apiserver.kinds.namespaces import NAMESPACES
from apiserver.kinds.nodes import NODES
from apiserver.kinds.pods.row import PODS
from apiserver.kinds.registry import Registry
from apiserver.kinds.secrets import SECRETS
from apiserver.kinds.serviceaccounts import SERVICE_ACCOUNTS
from apiserver.kinds.services.ranges import ServiceRanges
from apiserver.kinds.subresources import SUBRESOURCES
from apiserver.model.attributes import Attributes
from apiserver.model.kind import Kind
from apiserver.model.reader import Reader
from apiserver.registry.read import Reading
from apiserver.registry.rest import Rest
from apiserver.registry.served import Served
from apiserver.schema import compiled
from apiserver.storage.cache import WatchCache
from apiserver.storage.compaction import Compaction
from apiserver.storage.memory import MemoryStore
from apiserver.storage.protocol import Store
from apiserver.storage.revisions import AcknowledgedRevisions
from apiserver.streaming import handlers as connect
from apiserver.streaming.computed import computed
from apiserver.streaming.tunnel import TUNNELS
from machinery.metrics import METRICS

log = logging.getLogger(__name__)


class Task(Protocol):
    """Something that a worker does beside serving requests."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass
class Server:
    """The parts of one worker."""

    config: Config
    store: Store
    cache: WatchCache
    builtin: Registry  # the rows of the core and of the selected features
    rest: Rest
    reading: Reading
    resources: Resources
    authenticator: Authenticator
    authorizer: UnionAuthorizer
    served: Served
    # Which objects of a list to show to a user who may not see all of them; None leaves it to the authorizer.
    visible: Callable[[Attributes], Visible | None]
    issuer: IssuerDocuments
    bootstrapped: threading.Event = field(default_factory=threading.Event)  # its own objects are there
    background: list[Task] = field(default_factory=list)

    @cached_property
    def wsgi(self) -> Flask:
        """The WSGI application."""
        health = Health(self.store, self.cache, self.bootstrapped)
        address = f"{self.config.advertise_address}:{self.config.secure_port}"
        documents = Documents(self.served, health, self.issuer, address)
        front = Front(
            self.authenticator,
            self.authorizer,
            self.builtin,
            self.served,
            self.resources,
            documents,
            self.visible,
        )
        return create_app(front)

    def start(self) -> None:
        """Begins to follow the store and to keep what the server itself must keep."""
        self.cache.start()
        for task in self.background:
            task.start()

    def stop(self) -> None:
        """Ends watches and threads."""
        for task in self.background:
            task.stop()
        self.cache.stop()
        self.store.close()


class ApiServer:
    """What the web server serves (see ``serving.server.Preloaded``): ``Server`` with what its workers share."""

    def __init__(self, config: Config) -> None:
        """Loads all that the workers use, so that they share its memory when they are forked."""
        set_verbosity(config.verbosity)
        METRICS.share(config.blocks)
        self.server = assemble(config)
        self.request_timeout = config.request_timeout
        scrape.register(self.server.served, self.server.cache, self.server.store)
        definitions = [kind.definition for kind in self.server.builtin.kinds()]
        compiled.preload(definitions + [row.definition for row in SUBRESOURCES.values()])
        self._wsgi = self.server.wsgi

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return self._wsgi(environ, start_response)

    def start(self, slot: int) -> None:
        METRICS.use_block(slot)
        self.server.cache.use_block(slot)
        self.server.start()

    def end_streams(self) -> None:
        self.server.cache.end_watches()
        TUNNELS.stop()

    def stop(self) -> None:
        self.server.stop()

    def forget(self, slot: int) -> None:
        METRICS.forget_gauges(slot)


def assemble(config: Config, store: Store | None = None) -> Server:
    """All parts for these flags; ``store`` overrides the one that they name."""
    ranges = ServiceRanges.parse(config.service_cluster_ip_range, config.service_node_port_range)
    builtin = features.registry_of(features.load(config.features), ranges)
    store = store or open_store(config)
    cache = WatchCache(store, [kind.prefix for kind in builtin.stored()], AcknowledgedRevisions(config.blocks))
    policy, roles_exist = Policy(CachedObjects(cache)), threading.Event()
    authorizer = UnionAuthorizer(NodeAuthorizer(CachedPods(cache)), Rbac(policy), roles_exist)
    rest = Rest(store, cache, _admission(config, authorizer), authorizer, managedfields)
    read = Reading(store, cache, computed(config, store, rest.reader))
    keys = _account_keys(config)
    tokens = tuple(_token_authenticators(config, keys, rest.reader))
    handlers = {
        ("serviceaccounts", "token"): _token_requests(config, rest, read).serve,
        **connect.handlers(config, rest),
    }
    answers = {**reviews(tokens, rest), **access_reviews(authorizer, policy)}
    after_create = {NAMESPACES.resource: partial(projects.completed, rest)}
    resources = Resources(rest, read, cache, handlers, answers, after_create)
    served, documents = Served(cache, builtin), _issuer(config, keys)
    server = Server(
        config,
        store,
        cache,
        builtin,
        rest,
        read,
        resources,
        Authenticator(tokens),
        authorizer,
        served,
        partial(visible, authorizer),
        documents,
    )
    own = Bootstrap(
        rest, config, builtin.find("", "v1", "services"), PolicyKeeper(rest, roles_exist), server.bootstrapped.set
    )
    crds = Definitions(rest, served)
    server.background += [
        Reconciler("bootstrap", cache, own.sync, own.concerns, bootstrap.RESYNC),
        Reconciler("customresourcedefinitions", cache, crds.sync, crds.concerns, controller.RESYNC),
        Compaction(store),
    ]
    return server


def _admission(config: Config, authorizer: UnionAuthorizer) -> Chain:
    """Return the chain of plugins; exits for a name in --disable-admission-plugins that is none of theirs."""
    try:
        return chain(standard_plugins(authorizer), config.disable_admission_plugins)
    except ValueError as error:
        raise SystemExit(f"apiserver: error: {error}") from None


def _account_keys(config: Config) -> Sequence[PublicKey]:
    """What ServiceAccounts' tokens are checked with."""
    key_file = config.service_account_key_file or config.service_account_signing_key_file
    return read_public_keys(key_file) if key_file else ()


def _issuer(config: Config, keys: Sequence[PublicKey]) -> IssuerDocuments:
    here = f"https://{config.advertise_address}:{config.secure_port}{issuer.KEYS}"
    return IssuerDocuments(config.service_account_issuer, config.service_account_jwks_uri or here, keys)


def _token_authenticators(config: Config, keys: Sequence[PublicKey], reader: Reader) -> Iterator[TokenAuthenticator]:
    if config.token_auth_file:
        yield TokenFile(config.token_auth_file, config.audiences)
    if keys:
        yield Verifier(keys, config.service_account_issuer, config.audiences, reader, _bindable_kinds())


def _token_requests(config: Config, rest: Rest, read: Reading) -> TokenRequests:
    signing = config.service_account_signing_key_file
    signer = Signer(signing, config.service_account_issuer) if signing else None
    return TokenRequests(signer, config, rest, read, _bindable_kinds())


def _bindable_kinds() -> dict[str, Kind]:
    """What a token names: the account itself and the objects that it may be bound to."""
    return {"serviceaccount": SERVICE_ACCOUNTS, "pod": PODS, "secret": SECRETS, "node": NODES}


def open_store(config: Config) -> Store:
    """The store that the flags name; does not connect yet."""
    if config.in_memory:
        return MemoryStore(config.memory_file)
    from apiserver.storage.etcd import EtcdStore

    return EtcdStore(config.etcd_servers)
