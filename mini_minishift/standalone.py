"""An API server with its controllers in one process, without root, Docker, etcd or a node: for tests and development.

The socket is bound first, so that a client that connects too early waits instead of being refused. The controllers
talk to the server over HTTPS like every client; they share its process because a second interpreter would double time
and memory.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cluster import pki
from cluster.errors import ClusterError
from cluster.progress import Progress
from cluster.settings import SERVICE_IP
from machinery import kubeconfig
from machinery.extras import require
from machinery.resources import Resource
from mini_minishift.etcd import Etcd
from mini_minishift.interrupts import Interrupts

if TYPE_CHECKING:
    from apiserver.assembly import Server
    from apiserver.config import Config
    from controllers.manager.manager import Manager
    from controllers.shared.descriptor import ControllerDescriptor
    from machinery.client import Client

ADDRESS = "127.0.0.1"
CONTEXT = "mini-minishift-api"  # cluster, user and context in the kubeconfig
BACKLOG = 1024
VERBOSITY = 2  # The log has all requests that write, because they help the author of a test most.
MEMORY, ETCD = "memory", "etcd"
STORES = (MEMORY, ETCD)
ALL, NONE = "*", "none"
# Controllers of nodes and of pods on nodes, which do not exist here. The scheduler would only write an event per pod.
NEED_NODES = (
    "-scheduler",
    "-node-lifecycle-controller",
    "-taint-eviction-controller",
    "-pod-garbage-collector-controller",
)
ACCOUNTS = "serviceaccount-controller"
# Controller → plural and name of the object that it creates in every namespace.
GIVEN = {
    ACCOUNTS: ("serviceaccounts", "default"),
    "root-ca-certificate-publisher-controller": ("configmaps", "kube-root-ca.crt"),
}
ADMINISTRATOR = ("admin", "system:masters")
USER_AGENT = "kube-controller-manager"
MANAGER = ("system:kube-controller-manager", "")


@dataclass(frozen=True)
class StandaloneOptions:
    """What to run. A server that is started again in the same ``folder`` has the same keys and objects."""

    folder: Path
    port: int = 0
    store: str = MEMORY
    etcd: str = "etcd"
    controllers: str = ALL


class Ready(NamedTuple):
    """What a client needs to use the server."""

    url: str
    kubeconfig: str
    certificate_authority: str
    token: str
    first_objects: list[tuple[str, str]]  # plural and name of what the controllers give to every namespace


class Standalone:
    """A server and its controllers. Run it in the main thread, because it handles signals."""

    def __init__(
        self, options: StandaloneOptions, progress: Progress, ready: Callable[[Ready], None], interrupts: Interrupts
    ) -> None:
        self._options = options
        self._folder = options.folder.resolve()
        self._pki = self._folder / "pki"
        self._progress = progress
        self._ready = ready
        self._interrupts = interrupts
        self._port = options.port
        # The path is relative to the user's current folder, which is changed later.
        self._program = str(Path(options.etcd).absolute()) if os.sep in options.etcd else options.etcd
        self._stop = threading.Event()
        self._failure: Exception | None = None

    def run(self) -> None:
        """Serve until SIGTERM, SIGINT or SIGHUP. Raises ClusterError if that is not possible."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            stack.enter_context(_locked(self._folder))
            os.chdir(self._folder)  # Relative to it the paths of unix sockets are short enough.
            listener = stack.enter_context(_bound(self._options.port))
            self._port = listener.getsockname()[1]
            etcd = None
            if self._options.store == ETCD:
                require("etcd")
                etcd = Etcd(self._program, self._folder)
                stack.callback(etcd.stop)
            with self._progress.step("certificates"):
                pki.complete(self._pki, [_role()], pki.elliptic_key)
                self._write_access()
            with self._progress.step("API server"):
                from apiserver.assembly import ApiServer
                from apiserver.serving.server import serve_here

                config = self._config(etcd)
                try:
                    application = ApiServer(config)
                except ValueError as error:  # The file that keeps the store in memory is damaged.
                    raise ClusterError(f"{error}. Remove it to begin anew") from error
                self._manager = self._build_manager()
            if etcd is not None:
                with self._progress.step("etcd"):
                    etcd.wait_ready()
            self._interrupts.check()
            serve_here(config, application, listener, lambda: self._started(application.server), self._stop.set)
        if self._failure is not None:
            raise ClusterError(f"the server did not become ready: {self._failure}") from self._failure

    def _started(self, server: Server) -> None:
        """Begin the rest of the start in another thread, because this one serves requests from now on."""
        if self._interrupts.asked:
            os.kill(os.getpid(), signal.SIGTERM)
        threading.Thread(target=self._bring_up, args=(server,), name="bring-up", daemon=True).start()

    def _bring_up(self, server: Server) -> None:
        """Start the controllers, and wait until the first objects of the server and the controllers exist."""
        try:
            with self._progress.step("first objects"):
                self._manager.start(self._stop)
                server.bootstrapped.wait()
                given = [what for name, what in GIVEN.items() if name in self._manager.running]
                for plural, name in given:
                    _await_object(self._client, Resource("", "v1", plural, ""), name, self._stop)
                if self._manager.fault:
                    raise ClusterError(self._manager.fault)
        except Exception as error:
            self._failure = error
            os.kill(os.getpid(), signal.SIGTERM)
            return
        if not self._stop.is_set():
            self._ready(self._access._replace(first_objects=given))

    @cached_property
    def _rows(self) -> list[ControllerDescriptor]:
        return selected(self._options.controllers)

    @cached_property
    def _tokens(self) -> dict[str, str]:
        """User → bearer token; they are kept in the folder."""
        file = self._folder / "tokens.csv"
        if not file.exists():
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as output:
                for user, group in (ADMINISTRATOR, MANAGER):
                    output.write(f"{secrets.token_urlsafe(24)},{user},{user},{group}\n")
        return {user: token for token, user, *_ in (line.split(",") for line in file.read_text().splitlines())}

    @cached_property
    def _access(self) -> Ready:
        authority = str(self._pki / "ca.crt")
        token = self._tokens[ADMINISTRATOR[0]]
        return Ready(f"https://{ADDRESS}:{self._port}", str(self._folder / "kubeconfig"), authority, token, [])

    def _write_access(self) -> None:
        """Write the administrator's kubeconfig, which can be copied anywhere."""
        authority = base64.b64encode(Path(self._access.certificate_authority).read_bytes()).decode()
        cluster = {"server": self._access.url, "certificate-authority-data": authority}
        kubeconfig.save(self._access.kubeconfig, kubeconfig.build(CONTEXT, cluster, {"token": self._access.token}))

    def _config(self, etcd: Etcd | None) -> Config:
        from apiserver.config import Config

        return Config(
            etcd_servers=etcd.server if etcd else f"memory:{self._folder / 'store.json'}",
            secure_port=self._port,
            tls_cert_file=self._pki / "apiserver.crt",
            tls_private_key_file=self._pki / "apiserver.key",
            client_ca_file=self._pki / "ca.crt",
            token_auth_file=self._folder / "tokens.csv",
            service_account_key_file=self._pki / "sa.pub",
            service_account_signing_key_file=self._pki / "sa.key",
            # Without this controller there are no service accounts, which the admission plugin asks of every pod.
            disable_admission_plugins=() if any(row.name == ACCOUNTS for row in self._rows) else ("ServiceAccount",),
            workers=1,
            verbosity=VERBOSITY,
        )

    def _build_manager(self) -> Manager:
        from controllers.manager.identities import Identities
        from controllers.manager.manager import Manager
        from controllers.shared.options import ControllerOptions

        # The controllers' own requests would hide those that the author of a test looks for.
        own = f" with {USER_AGENT}"
        logging.getLogger("apiserver.requests").addFilter(lambda record: own not in record.getMessage())
        client, access = self._client, self._manager_access
        authority = self._access.certificate_authority
        options = ControllerOptions(
            root_ca_file=authority,
            cluster_signing_cert_file=authority,
            cluster_signing_key_file=str(self._pki / "ca.key"),
        )
        identities = Identities(access, client, None, with_accounts=True)
        return Manager(client, self._rows, options, identities.client_of)

    @cached_property
    def _manager_access(self) -> kubeconfig.ClientConfig:
        authority = Path(self._access.certificate_authority).read_bytes()
        return kubeconfig.ClientConfig(self._access.url, authority, token=self._tokens[MANAGER[0]])

    @cached_property
    def _client(self) -> Client:
        from machinery.client import Client

        return Client(self._manager_access, user_agent=USER_AGENT)


def selected(names: str) -> list[ControllerDescriptor]:
    """Return the controllers that ``--controllers`` names. Those that need a node run only if they are named."""
    from controllers.manager import rows

    asked = [] if names == NONE else names.split(",")
    without = [name for name in NEED_NODES if name.removeprefix("-") not in asked]
    try:
        return rows.selected([*asked, *without])
    except ValueError as error:
        raise ClusterError(f"controllers: {error}") from error


def _role() -> pki.Role:
    return pki.Role("apiserver", "kube-apiserver", names=(*pki.SERVICE_NAMES, "localhost", ADDRESS, SERVICE_IP))


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, because two servers on the same data would overwrite each other's."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClusterError(f"a server is running on {folder}: end it, or choose another folder") from None
        yield


def _bound(port: int) -> socket.socket:
    try:
        return socket.create_server((ADDRESS, port), backlog=BACKLOG)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise ClusterError(f"cannot listen on {ADDRESS}:{port}: {why}. Choose another port, or 0") from error


def _await_object(client: Client, resource: Resource, name: str, stop: threading.Event) -> None:
    for event in client.watch(resource, "default", field_selector=f"metadata.name={name}", stop=stop):
        if event.type == "ADDED":
            return
