"""A Kubernetes API server for tests, as an object: ``with KubeServer() as server: …``. The pytest plugin creates these.

The server is a process of its own, which ends with this one, however this one ends. This module imports only Python's
own library.
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
GRACE_SECONDS = 5.0  # how much later than asked the server may end a watch
# Prefixes of variables of pytest-cov and coverage. Measuring the server would only slow it down.
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
        self._first_objects: list[tuple[str, str]] = []  # (plural, name) of what controllers create in a namespace
        self.url = ""
        self.token = ""  #: of a user who may do everything

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig of a user who may do everything; it can be copied anywhere."""
        return self.folder / "kubeconfig"

    @property
    def certificate_authority(self) -> Path:
        """The file of the certificate with which the server's is signed."""
        return self.folder / "pki" / "ca.crt"

    @property
    def log_file(self) -> Path:
        return self.folder / "server.log"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process's id; 0 if it does not run."""
        return self._process.pid if self._process is not None and self.running else 0

    # Life

    def start(self) -> Self:
        """Start the server; return when it is ready: its own objects and the first ones of its controllers exist."""
        if self.running:
            raise ServerError("the server runs already")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        begin = self.log_size()
        argv, environment = isolated("mini_minishift.serve", *self._flags, f"--port={self.port}")
        with self.log_file.open("ab") as log:
            # It has a session of its own, so that Ctrl-C ends the tests only, which may still need the server.
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
        """End the server; what it stored is there again after another ``start``."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._reap()

    def kill(self) -> None:
        """End the server with SIGKILL. What the store in memory had is lost; etcd keeps it."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def restart(self, *, keep_data: bool = True) -> None:
        """Stop the server and start it on the same port. Without its data it is a new cluster with the same keys."""
        self.stop()
        if not keep_data:
            (self.folder / "store.json").unlink(missing_ok=True)
            shutil.rmtree(self.folder / "etcd", ignore_errors=True)
        self.start()

    def close(self) -> None:
        """Stop the server, and remove its folder if that is a temporary one."""
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
        """Send one request as administrator, where no client library is needed. Raises ApiError."""
        return self._client().request(method, path, body, content_type)

    def watch(self, path: str) -> Iterator[Object]:
        """Yield the events of a watch: ``server.watch("/api/v1/pods?watch=true")``.

        Raises TimeoutError after 30 s without an event.
        """
        return self._client().watch(path)

    def wait(
        self, path: str, condition: Callable[[Object | None], object] = bool, *, seconds: float = 10.0
    ) -> Object | None:
        """Wait for the object at ``path``; return it as soon as ``condition`` returns True for it.

        ``condition`` is called with the object, or with None if there is none; by default it waits until there is one.
        Raises TimeoutError with the object's last state.
        """
        found = None
        for found in self._states(path, seconds):
            if condition(found):
                return found
        raise TimeoutError(f"{path} was not as wanted within {seconds:g} s; it is {json.dumps(found)}")

    def _states(self, path: str, seconds: float) -> Iterator[Object | None]:
        """Yield the present state of one object, then each later one; None if it does not exist."""
        collection, _, name = path.rpartition("/")
        query = f"{collection}?fieldSelector=metadata.name%3D{name}"
        listed = self.request("GET", query)
        # Items of a list have no kind and apiVersion of their own if it is of a built-in kind.
        identity = {"kind": listed["kind"].removesuffix("List"), "apiVersion": listed["apiVersion"]}
        yield next(({**identity, **item} for item in listed["items"]), None)
        version = listed["metadata"]["resourceVersion"]
        query += f"&watch=true&resourceVersion={version}&timeoutSeconds={math.ceil(seconds)}"
        for event in self._client().watch(query, silence=seconds + GRACE_SECONDS):
            yield None if event["type"] == "DELETED" else event["object"]

    def create_namespace(self, prefix: str = "test-") -> str:
        """Return the name of a new namespace, when its default service account and root certificate exist."""
        body = {"metadata": {"generateName": prefix}}
        name = str(self.request("POST", "/api/v1/namespaces", body)["metadata"]["name"])
        for plural, first in self._first_objects:
            self.wait(f"/api/v1/namespaces/{name}/{plural}/{first}")
        return name

    def delete_namespace(self, name: str) -> None:
        """Begin to delete a namespace; controllers and finalizers do the rest."""
        self.request("DELETE", f"/api/v1/namespaces/{name}")

    def service_account_kubeconfig(self, namespace: str, name: str = "default", *, seconds: int = 3600) -> Path:
        """Return the file of a service account's kubeconfig, to test whether its roles allow what a program does."""
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
        """Create or replace the objects of YAML files or dicts. Objects of a new custom kind can follow at once."""
        from mini_minishift.manifests import apply, read

        return [apply(self._client(), obj) for manifest in manifests for obj in read(manifest)]

    # Log

    def log_size(self) -> int:
        """Return the length of the log, to be given to ``log_tail`` as ``begin``."""
        self._let_finish()
        return self.log_file.stat().st_size if self.log_file.exists() else 0

    def log_tail(self, lines: int = 40, begin: int = 0) -> str:
        """Return the last lines of what the server logged since the log had the length ``begin``."""
        self._let_finish()
        if not self.log_file.exists():
            return ""
        with self.log_file.open("rb") as log:
            log.seek(begin)
            said = log.read().decode(errors="replace").splitlines()
        return "\n".join(said[-lines:] if lines else said)

    def _let_finish(self) -> None:
        """Wait until earlier requests of our connection are logged, which happens after their answers.

        A further request is only read after that.
        """
        if self._rest is None or not self.running:
            return
        with suppress(ApiError, OSError, HTTPException):  # A server that does not answer logs nothing more.
            self._rest.request("GET", "/livez/ping")

    def _client(self) -> RestClient:
        if self._rest is None:
            raise ServerError("the server does not run")
        return self._rest

    def _first_words(self, process: subprocess.Popen[bytes], begin: int) -> Mapping[str, Any]:
        """Wait for the line in which the server says that it is ready, or why it is not."""
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
