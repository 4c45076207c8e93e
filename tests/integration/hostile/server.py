"""An API server in this process, with everything that it can do, and requests to it without a socket."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from apiserver.assembly import Server, assemble
from apiserver.config import Config
from apiserver.storage.memory import MemoryStore

JSON = "application/json"
NAMESPACE = "hostile"
NAME = "a"  # of the objects that are written
STILL = "still"  # of a pod and a Service that nobody writes, and that run nowhere
THINGS = f"/apis/hostile.example.com/v1/namespaces/{NAMESPACE}/things"
_CORE = f"/api/v1/namespaces/{NAMESPACE}"
# Collection and body of these, and of what a pod needs.
STILL_OBJECTS: tuple[tuple[str, Any], ...] = (
    (f"{_CORE}/serviceaccounts", {"metadata": {"name": "default"}}),
    (f"{_CORE}/pods", {"metadata": {"name": STILL}, "spec": {"containers": [{"name": "c", "image": "i"}]}}),
    (f"{_CORE}/services", {"metadata": {"name": STILL}, "spec": {"ports": [{"port": 80}]}}),
)
TOKENS = 'admin-token,admin,1,"system:masters"\nsomebody-token,somebody,2\nroles-token,roles,3\n'
THING: dict[str, Any] = {
    "apiVersion": "hostile.example.com/v1",
    "kind": "Thing",
    "metadata": {"name": NAME},
    "spec": {
        "text": "aa",
        "number": 1,
        "half": 0.5,
        "set": ["a", "b"],
        "map": [{"key": "a", "value": 1}, {"key": "b"}],
        "list": [{"a": "b"}],
        "free": {"a": {"b": [1, None]}},
        "texts": {"a": "b"},
        "either": "1",
        "when": "2020-01-01T00:00:00Z",
        "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {}},
        "replicas": 1,
    },
    "status": {"replicas": 1, "selector": "a=b", "anything": {"a": []}},
}
# A definition with every kind of field that has rules of its own.
_SCHEMA = """
type: object
properties:
  spec:
    type: object
    x-kubernetes-validations: [{rule: "!has(self.number) || self.number < 1000", message: too much}]
    properties:
      text: {type: string, pattern: "^(a+)+$", maxLength: 100}
      number: {type: integer, format: int64, minimum: -5, default: 3}
      half: {type: number, multipleOf: 0.5}
      set: {type: array, x-kubernetes-list-type: set, items: {type: string}}
      map:
        type: array
        x-kubernetes-list-type: map
        x-kubernetes-list-map-keys: [key]
        items: {type: object, required: [key], properties: {key: {type: string}, value: {type: integer, default: 7}}}
      list: {type: array, maxItems: 10000, items: {type: object, additionalProperties: {type: string, nullable: true}}}
      free: {type: object, x-kubernetes-preserve-unknown-fields: true}
      texts: {type: object, additionalProperties: {type: string}}
      either: {x-kubernetes-int-or-string: true}
      when: {type: string, format: date-time}
      pod: {type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}
      replicas: {type: integer}
  status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""
_DEFINITION = {
    "metadata": {"name": "things.hostile.example.com"},
    "spec": {
        "group": "hostile.example.com",
        "scope": "Namespaced",
        "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": yaml.safe_load(_SCHEMA)},
                "additionalPrinterColumns": [{"name": "Text", "type": "string", "jsonPath": ".spec.text"}],
                "selectableFields": [{"jsonPath": ".spec.text"}],
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.replicas",
                        "statusReplicasPath": ".status.replicas",
                        "labelSelectorPath": ".status.selector",
                    },
                },
            }
        ],
    },
}
# The user "roles" may write roles, and so give what she has herself.
_ROLE_WRITER = {
    "metadata": {"name": "role-writer"},
    "rules": [{"verbs": ["*"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"]}],
}
_ROLE_WRITER_BINDING = {
    "metadata": {"name": "role-writer"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "role-writer"},
    "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "roles"}],
}


@dataclass(frozen=True)
class Request:
    """One request as the web server hands it to the application: the path may have a query."""

    method: str
    path: str
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    token: str = "admin-token"

    def shown(self) -> str:
        """Return the request as one line."""
        return f"{self.method} {self.path} {self.content_type} {self.headers} {self.body!r}"

    def environ(self) -> dict[str, Any]:
        path, _, query = self.path.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.method,
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "RAW_URI": self.path,
            "SCRIPT_NAME": "",
            "QUERY_STRING": query,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_AUTHORIZATION": f"Bearer {self.token}",
            "CONTENT_TYPE": self.content_type,
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(self.body),
        }
        if self.body:
            environ["CONTENT_LENGTH"] = str(len(self.body))
        return environ | {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in self.headers.items()}


@dataclass(frozen=True)
class Answer:
    """What came back, and what it cost: seconds of this process's processor time, those of the cache included."""

    code: int
    headers: list[tuple[str, str]]
    body: bytes
    seconds: float

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def message(self) -> str:
        """What a Status says; the whole body if it is none."""
        try:
            return str(self.json["message"])
        except (ValueError, KeyError, TypeError):
            return self.body.decode(errors="replace")


class Api:
    """A server on a store in memory."""

    def __init__(self, folder: Path) -> None:
        (folder / "tokens.csv").write_text(TOKENS)
        key = ec.generate_private_key(ec.SECP256R1())
        (folder / "sa.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        config = Config(
            token_auth_file=folder / "tokens.csv",
            service_account_key_file=folder / "sa.key",
            service_account_signing_key_file=folder / "sa.key",
        )
        self.server: Server = assemble(config, MemoryStore())
        self.server.start()
        assert self.server.bootstrapped.wait(30), "the server's own objects are not there"
        for path, body in (
            ("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}),
            *STILL_OBJECTS,
            ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", _DEFINITION),
            ("/apis/rbac.authorization.k8s.io/v1/clusterroles", _ROLE_WRITER),
            ("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", _ROLE_WRITER_BINDING),
        ):
            answer = self("POST", path, body)
            assert answer.code == 201, (path, answer)
        deadline = time.monotonic() + 30
        while self("GET", THINGS).code != 200:
            assert time.monotonic() < deadline, "the custom resource is not served"

    def ask(self, request: Request) -> Answer:
        """Return the answer, read to its end."""
        status: list[Any] = []

        def start_response(line: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            status[:] = [line, headers]

        began = time.process_time()
        chunks = self.server.wsgi(request.environ(), start_response)
        try:
            body = b"".join(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        return Answer(int(status[0].partition(" ")[0]), status[1], body, time.process_time() - began)

    def __call__(self, method: str, path: str, body: Any = None, content_type: str = JSON, **headers: str) -> Answer:
        data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        return self.ask(Request(method, path, data, content_type, headers))

    def stop(self) -> None:
        self.server.stop()
