"""Real servers for tests: an etcd, certificates, and the API server as the process that users run.

Any of them may be killed and started again.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any, Protocol

from apiserver.storage.etcd import EtcdStore
from apiserver.storage.protocol import Unavailable

ADMIN = {"Authorization": "Bearer admin-token"}
TOKENS = 'admin-token,admin,1,"system:masters"\nsomebody-token,somebody,2\n'


class Etcd:
    """An etcd process that a test may kill and start again on the same data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = f"unix:{folder}/etcd.sock:0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = shutil.which("etcd")
        assert binary, "these tests need the etcd binary: apt-get install etcd-server"
        with (self.folder / "etcd.log").open("ab") as log:
            arguments = [
                "--data-dir=data",
                "--listen-client-urls=unix://etcd.sock:0",
                "--advertise-client-urls=unix://etcd.sock:0",
                "--listen-peer-urls=unix://peer.sock:0",
                "--initial-advertise-peer-urls=http://localhost:2380",
                "--initial-cluster=default=http://localhost:2380",
                "--logger=zap",
                "--log-level=warn",
            ]
            self._process = subprocess.Popen([binary, *arguments], cwd=self.folder, stdout=log, stderr=log)
        store = EtcdStore(self.server)
        deadline = time.monotonic() + 30
        while True:
            try:
                store.revision()
            except Unavailable:
                assert time.monotonic() < deadline, (self.folder / "etcd.log").read_text()
                time.sleep(0.02)  # there is no event to wait for when a port opens
            else:
                break
        store.close()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            for name in ("etcd.sock:0", "peer.sock:0"):
                (self.folder / name).unlink(missing_ok=True)


class Answer:
    """Code, headers and body of a response."""

    def __init__(self, code: int, headers: Any, body: bytes) -> None:
        self.code = code
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"{self.code} {self.body[:2000].decode(errors='replace')}"


class Ask(Protocol):
    """A request to an API server, in the test's process or over the network; as administrator by default."""

    def __call__(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer: ...


@contextmanager
def running_etcd() -> Iterator[Etcd]:
    """One of the caller's own, killed at the end."""
    # Not in pytest's directory: a unix socket's path may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="etcd-") as folder:
        server = Etcd(Path(folder))
        server.start()
        yield server
        server.kill()


class Pki:
    """A certificate authority with a server's and an administrator's certificate, made by openssl."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = folder / "ca.crt"
        self.account_key = folder / "accounts.key"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                      "ca.key", "-out", "ca.crt", "-subj", "/CN=test-ca", "-days", "2",
                      "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "accounts.key")
        self.issue("server", "/CN=apiserver")
        self.issue("admin", "/O=system:masters/CN=admin")

    def issue(self, name: str, subject: str) -> None:
        (self.folder / "extensions").write_text("subjectAltName=IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n")
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                      f"{name}.key", "-out", f"{name}.csr", "-subj", subject)  # fmt: skip
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                      "-out", f"{name}.crt", "-days", "2", "-extfile", "extensions")  # fmt: skip

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def client_context(self, name: str = "") -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        if name:
            context.load_cert_chain(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        return context


class Served:
    """``python -m apiserver`` as a process."""

    def __init__(
        self, etcd: str, pki: Pki, tokens: Path, log: Path, *flags: str, workers: int = 2, port: int = 0
    ) -> None:
        self.pki = pki
        self._log = log
        arguments = [
            f"--etcd-servers={etcd}", f"--workers={workers}", f"--secure-port={port}",
            f"--tls-cert-file={pki.folder}/server.crt", f"--tls-private-key-file={pki.folder}/server.key",
            f"--client-ca-file={pki.ca}", f"--token-auth-file={tokens}",
            f"--service-account-key-file={pki.account_key}", f"--service-account-signing-key-file={pki.account_key}",
            *flags,
        ]  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-m", "apiserver", *arguments], stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        self.port = 0
        self._opened: list[HTTPSConnection] = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read_log)
        self._reader.start()
        assert self._ready.wait(30), log.read_text()
        self.wait_ready()

    def _read_log(self) -> None:
        assert self.process.stderr
        with self._log.open("a") as copy:
            for line in self.process.stderr:
                copy.write(line)
                copy.flush()
                if found := re.search(r"serving on https://127\.0\.0\.1:(\d+)", line):
                    self.port = int(found[1])
                    self._ready.set()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + 30
        while self("GET", "/readyz").code != 200:
            assert time.monotonic() < deadline, self.log

    def tls(self, context: ssl.SSLContext | None = None, timeout: float = 10) -> ssl.SSLSocket:
        """A connection for bytes that no HTTP client would send."""
        raw = socket.create_connection(("127.0.0.1", self.port), timeout)
        return (context or self.pki.client_context()).wrap_socket(raw, server_hostname="127.0.0.1")

    def connect(self, certificate: str = "", timeout: float = 30) -> HTTPSConnection:
        """A connection of its own, which the kernel gives to either worker."""
        context = self.pki.client_context(certificate)
        self._opened.append(HTTPSConnection("127.0.0.1", self.port, context=context, timeout=timeout))
        return self._opened[-1]

    def hang_up(self) -> None:
        """Closes all connections."""
        for connection in self._opened:
            connection.close()
        self._opened.clear()

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        connection: HTTPSConnection | None = None,
    ) -> Answer:
        used = connection or self.connect()
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        try:
            used.request(method, path, data, {**ADMIN, "Content-Type": "application/json", **(headers or {})})
            response = used.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            if connection is None:
                used.close()

    def kill(self) -> None:
        """Ends it and its workers as a crash would; its clients find out by themselves."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self._wait()
        self._opened.clear()

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def stop(self) -> int:
        """Asks it to end and tells how it did."""
        self.hang_up()
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        finally:
            self._wait()

    def _wait(self) -> None:
        self.process.wait(10)
        self._reader.join(10)
        assert self.process.stderr
        self.process.stderr.close()
