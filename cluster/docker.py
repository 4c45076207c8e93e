"""The launcher's few calls to the Docker Engine API, over its unix socket.

The kubelet uses the Docker SDK; the launcher, whose start is what the user waits for, needs five calls, and importing
the SDK alone would take a tenth of a second.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import socket
import urllib.parse
from pathlib import Path
from typing import Any

from cluster.errors import ClusterError

DEFAULT_SOCKET = Path("/var/run/docker.sock")


class EngineError(ClusterError):
    """The engine refused a call; the message is the engine's own."""


class EngineMissing(EngineError):
    """No engine answers on the socket."""


def socket_path() -> Path:
    host = os.environ.get("DOCKER_HOST", "")
    return Path(host.removeprefix("unix://")) if host.startswith("unix://") else DEFAULT_SOCKET


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("docker", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Engine:
    def __init__(self, path: Path | None = None, timeout: float = 60) -> None:
        self.path = path or socket_path()
        self.timeout = timeout

    def call(self, method: str, path: str, body: bytes | None = None, **query: str) -> Any:
        """Call the engine; return the decoded JSON answer, None if it is empty or the object does not exist (404)."""
        url = path + ("?" + urllib.parse.urlencode(query) if query else "")
        connection = UnixConnection(self.path, self.timeout)
        headers = {"Content-Type": "application/x-tar"} if body is not None else {}
        try:
            connection.request(method, url, body, headers)
            response = connection.getresponse()
            data = response.read()
        except (FileNotFoundError, ConnectionError) as error:
            raise EngineMissing(f"no Docker engine answers on {self.path}: {error}") from error
        finally:
            connection.close()
        if response.status == 404:
            return None
        if response.status >= 400:
            raise EngineError(f"{method} {path}: {data.decode(errors='replace').strip()}")
        return (
            [json.loads(line) for line in data.splitlines()] if path == "/images/load" else json.loads(data or b"null")
        )

    def version(self) -> str | None:
        """Return the engine's version, None if no engine answers."""
        try:
            answer = self.call("GET", "/version")
        except EngineMissing:
            return None
        return str(answer["Version"])

    def image_labels(self, name: str) -> dict[str, str] | None:
        """Return the labels of an image, None if there is no such image."""
        image = self.call("GET", f"/images/{name}/json")
        return None if image is None else image["Config"].get("Labels") or {}

    def load_images(self, archive: bytes) -> None:
        for line in self.call("POST", "/images/load", archive, quiet="1"):
            if "error" in line:
                raise EngineError(f"loading images: {line['error']}")

    def remove_image(self, name: str) -> None:
        self.call("DELETE", f"/images/{name}", force="1")

    def containers(self, label: str = "", *, running_only: bool = False) -> list[dict[str, Any]]:
        filters = json.dumps({"label": [label]} if label else {})
        found: list[dict[str, Any]] = self.call("GET", "/containers/json", all=str(not running_only), filters=filters)
        return found

    def remove_container(self, identifier: str) -> None:
        """Kill and remove a container, with its anonymous volumes."""
        self.call("DELETE", f"/containers/{identifier}", force="1", v="1")

    def stop_container(self, identifier: str, seconds: int) -> None:
        """Send SIGTERM, and SIGKILL after so many seconds."""
        self.call("POST", f"/containers/{identifier}/stop", t=str(seconds))

    def bridge_gateway(self) -> str:
        """Return the node's address on docker0: 172.17.0.1, unless the engine is configured otherwise."""
        config = self.call("GET", "/networks/bridge")["IPAM"]["Config"][0]
        # Some engines return only the subnet. The bridge then has the first address in it.
        return str(config.get("Gateway") or next(ipaddress.ip_network(config["Subnet"]).hosts()))

    def bridge_subnet(self) -> str:
        """Return the CIDR of the pods' addresses."""
        return str(self.call("GET", "/networks/bridge")["IPAM"]["Config"][0]["Subnet"])
