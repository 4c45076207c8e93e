"""A Kubernetes API server for tests, as an object: ``with KubeServer() as server: …``. The pytest plugin makes these.

The server is a process of its own that ends with this one, however this one ends. Nothing but Python's own library is
imported here.
"""

from __future__ import annotations

import base64
import json
import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any, Self

from mini_minishift.rest import ApiError, Object, RestClient, is_readable
from mini_minishift.run import isolated

__all__ = ["ApiError", "KubeServer", "ServerError"]

STORES = ("memory", "etcd")
STOP_SECONDS = 10.0
GRACE_SECONDS = 5.0  # for the server to end a watch whose time is over
# Of pytest-cov and coverage: the server is not what they should measure, which would slow it down.
_NOT_INHERITED = ("COV_CORE_", "COVERAGE_")


class ServerError(Exception):
    """The server does not start or does not stop; the text says why, with the end of its log."""


class KubeServer:
    """An API server on a port of 127.0.0.1, its store and the controllers that need no node.

    * ``store``: ``memory``, or ``etcd`` for a real one, whose program ``etcd`` is
    * ``controllers``: ``*``, ``none``, or names as kube-controller-manager takes them: ``*,-garbagecollector``
    * ``folder``: where keys, kubeconfig, log and data are; a temporary one, removed at the end, if none is given
    """

    def __init__(
        self,
        folder: Path | str | None = None,
        *,
        port: int = 0,
        store: str = "memory",
        etcd: str = "etcd",
        controllers: str = "*",
        timeout: float = 30.0,
    ) -> None:
        if store not in STORES:
            raise ValueError(f"store must be one of {', '.join(STORES)}, not {store!r}")
        self.folder = Path(folder or tempfile.mkdtemp(prefix="kube-server-"))
        self._temporary = folder is None
        self.port = port
        self._flags = [f"--folder={self.folder}", f"--store={store}", f"--etcd={etcd}", f"--controllers={controllers}"]
        if self._temporary:
            self._flags.append("--temporary")
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._rest: RestClient | None = None
        self._first_objects: list[tuple[str, str]] = []  # (plural, name) of what the controllers give to a namespace
        self.url = ""
        self.token = ""  #: of a user who may do everything

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig of a user who may do everything; it can be copied anywhere."""
        return self.folder / "kubeconfig"

    @property
    def certificate_authority(self) -> Path:
        """The certificate, as a file, that the server's is signed with."""
        return self.folder / "pki" / "ca.crt"

    @property
    def log_file(self) -> Path:
        return self.folder / "server.log"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process's id; 0 when there is none."""
        return self._process.pid if self._process is not None and self.running else 0

    # Life

    def start(self) -> Self:
        """Return when the server is ready: its own objects are there, and what its controllers make first."""
        if self.running:
            raise ServerError("the server runs already")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        begin = self.log_size()
        argv, environment = isolated("mini_minishift.serve", *self._flags, f"--port={self.port}")
        with self.log_file.open("ab") as log:
            # A session of its own: Ctrl-C is for the tests, which may still need the server to end in peace.
            self._process = subprocess.Popen(
                argv,
                env={name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
                | environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        try:
            ready = self._first_words(self._process, begin)
        except BaseException:
            self.kill()
            self._remove_temporary()
            raise
        self.url, self.token, self._first_objects = ready["url"], ready["token"], ready["first_objects"]
        self.port = int(self.url.rpartition(":")[2])
        self._rest = RestClient(self.url, self.certificate_authority, self.token)
        return self

    def stop(self) -> None:
        """End it; what it stored is there again after another ``start``."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._reap()

    def kill(self) -> None:
        """End it with SIGKILL. What was in memory is lost; etcd keeps it."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def restart(self, *, keep_data: bool = True) -> None:
        """Stop and start it on the same port. Without its data it is a new cluster with the same keys."""
        self.stop()
        if not keep_data:
            (self.folder / "store.json").unlink(missing_ok=True)
            shutil.rmtree(self.folder / "etcd", ignore_errors=True)
        self.start()

    def close(self) -> None:
        """Stop it, and remove its folder if that is a temporary one."""
        self.stop()
        self._remove_temporary()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<KubeServer {self.url or 'not started'}>"

    # Use

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Object:
        """Send one request as administrator, for what needs no client library; raise ApiError."""
        return self._client().request(method, path, body, content_type)

    def watch(self, path: str) -> Iterator[Object]:
        """Yield the events of a watch: ``server.watch("/api/v1/pods?watch=true")``.

        Raise TimeoutError after 30 s without one.
        """
        return self._client().watch(path)

    def wait(
        self, path: str, condition: Callable[[Object | None], object] = bool, *, seconds: float = 10.0
    ) -> Object | None:
        """Return the object at ``path`` as soon as it is as wanted: by default, as soon as it is there.

        ``condition`` is given the object, or None while there is none. Raises TimeoutError with what there was instead.
        """
        found = None
        for found in self._states(path, seconds):
            if condition(found):
                return found
        raise TimeoutError(f"{path} was not as wanted within {seconds:g} s; it is {json.dumps(found)}")

    def _states(self, path: str, seconds: float) -> Iterator[Object | None]:
        """What one object is now, and what it becomes."""
        collection, _, name = path.rpartition("/")
        query = f"{collection}?fieldSelector=metadata.name%3D{name}"
        listed = self.request("GET", query)
        # Of what kind a built-in object is, only the list says.
        identity = {"kind": listed["kind"].removesuffix("List"), "apiVersion": listed["apiVersion"]}
        yield next(({**identity, **item} for item in listed["items"]), None)
        version = listed["metadata"]["resourceVersion"]
        query += f"&watch=true&resourceVersion={version}&timeoutSeconds={math.ceil(seconds)}"
        for event in self._client().watch(query, silence=seconds + GRACE_SECONDS):
            yield None if event["type"] == "DELETED" else event["object"]

    def create_namespace(self, prefix: str = "test-") -> str:
        """Return a new namespace's name, once its default service account and root certificate are there too."""
        body = {"metadata": {"generateName": prefix}}
        name = str(self.request("POST", "/api/v1/namespaces", body)["metadata"]["name"])
        for plural, first in self._first_objects:
            self.wait(f"/api/v1/namespaces/{name}/{plural}/{first}")
        return name

    def delete_namespace(self, name: str) -> None:
        """Begin to delete it: controllers and finalizers go on from there."""
        self.request("DELETE", f"/api/v1/namespaces/{name}")

    def service_account_kubeconfig(self, namespace: str, name: str = "default", *, seconds: int = 3600) -> Path:
        """Return a kubeconfig of a service account: to see whether its roles suffice for what a program does."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        token = self.request("POST", path, {"spec": {"expirationSeconds": seconds}})["status"]["token"]
        authority = base64.b64encode(self.certificate_authority.read_bytes()).decode()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority-data": authority}}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name, "namespace": namespace}}],
            "current-context": "test",
        }
        file = self.folder / f"kubeconfig-{namespace}-{name}"
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as output:
            json.dump(config, output, indent=1)  # which is YAML too
        return file

    def apply(self, *manifests: Path | str | Object) -> list[Object]:
        """Create or replace objects: of YAML files, or given as dicts. Custom resources can be used from then on."""
        from mini_minishift.manifests import apply, read

        return [apply(self._client(), obj) for manifest in manifests for obj in read(manifest)]

    # Log

    def log_size(self) -> int:
        """How long the log is; what is said from now on begins there."""
        self._let_finish()
        return self.log_file.stat().st_size if self.log_file.exists() else 0

    def log_tail(self, lines: int = 40, begin: int = 0) -> str:
        """Return the last lines of what the server said since the log had the length ``begin``."""
        self._let_finish()
        if not self.log_file.exists():
            return ""
        with self.log_file.open("rb") as log:
            log.seek(begin)
            said = log.read().decode(errors="replace").splitlines()
        return "\n".join(said[-lines:] if lines else said)

    def _let_finish(self) -> None:
        """A request is logged when its answer is out, and the next one of our connection is taken up after that."""
        if self._rest is None or not self.running:
            return
        with suppress(ApiError, OSError, HTTPException):  # who cannot answer has said what there is
            self._rest.request("GET", "/livez/ping")

    def _client(self) -> RestClient:
        if self._rest is None:
            raise ServerError("the server does not run")
        return self._rest

    def _first_words(self, process: subprocess.Popen[bytes], begin: int) -> Mapping[str, Any]:
        """Wait for the line that says where the server is, or why it is not."""
        assert process.stdout
        if not is_readable(process.stdout.fileno(), self._timeout):
            raise ServerError(f"the server is not ready after {self._timeout:g} s\n{self.log_tail(begin=begin)}")
        line = process.stdout.readline()
        words: dict[str, Any] = (
            json.loads(line) if line else {"error": f"the server ended\n{self.log_tail(begin=begin)}"}
        )
        if "error" in words:
            raise ServerError(words["error"])
        return words

    def _remove_temporary(self) -> None:
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _reap(self) -> None:
        assert self._process
        if self._rest is not None:
            self._rest.close()
            self._rest = None
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None
