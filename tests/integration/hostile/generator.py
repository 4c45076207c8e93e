"""Requests that no honest client would send, made of honest ones: the same for the same seed.

A request starts from one that is right: an object of some kind (the inputs of the goldens, a custom resource, bodies
of subresources), a patch of it, a query. Then places of it are changed: a value of the wrong type or size, a member too
many or too few, text that is no JSON, a tag of YAML, a digit that is none in Go.
"""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from everykind import REGISTRY
from integration.hostile.server import NAME, NAMESPACE, STILL, THING, THINGS, Request

from apiserver.model.kind import Kind

GOLDENS = Path(__file__).parents[2] / "golden" / "kinds"
SEEDS: list[dict[str, Any]] = [yaml.safe_load(path.read_text()) for path in sorted(GOLDENS.glob("**/*.input.yaml"))]
JSON, YAML = "application/json", "application/yaml"
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
JSON_PATCH, APPLY = "application/json-patch+json", "application/apply-patch+yaml"
PROTOBUF, CBOR = "application/vnd.kubernetes.protobuf", "application/cbor"
# They stream bytes to a kubelet or to whatever is behind a Service: asked for about what does not run anywhere.
STREAMS = ("exec", "attach", "portforward", "log", "proxy")


def _expanded(value: Any) -> Any:
    """Return a value with the abbreviations of ``pieces.yaml`` written out."""
    if isinstance(value, str):
        return re.sub(r"<(\d+)\*([^>]+)>", lambda match: match[2] * int(match[1]), value)
    if isinstance(value, list):
        return [_expanded(child) for child in value]
    return {key: _expanded(child) for key, child in value.items()} if isinstance(value, dict) else value


_PIECES: dict[str, Any] = _expanded(yaml.safe_load(Path(__file__).with_name("pieces.yaml").read_text()))
RAW: list[str] = _PIECES["raw"]
TEXTS: list[str] = _PIECES["texts"]
VALUES: list[Any] = [*TEXTS, *_PIECES["values"]]
PARAMETER_VALUES: list[str] = [*TEXTS, *_PIECES["parameterValues"]]
HEADERS: dict[str, list[str]] = _PIECES["headers"]


def kind_of(obj: dict[str, Any]) -> Kind:
    kind = REGISTRY.by_kind(obj["apiVersion"].rpartition("/")[0], obj["kind"])
    assert kind is not None
    return kind


def collection(kind: Kind) -> str:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    return f"{root}/namespaces/{NAMESPACE}/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"


class Generator:
    """Makes requests; each is the same for the same seed and position."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def request(self, position: int) -> Request:
        """Return one request of the seed's sequence."""
        return _Maker(random.Random(f"{self._seed}/{position}")).request()


class _Maker:
    def __init__(self, source: random.Random) -> None:
        self._random = source
        self._one_of = source.choice

    def request(self) -> Request:
        make = self._one_of((self._write, self._write, self._write, self._patch, self._patch, self._part, self._other))
        method, path, body, content_type = make()
        query = self._query()
        if self._chance(0.03):
            content_type = self._one_of(
                (content_type + ";charset=²", content_type.upper(), CBOR, "", "²", "a/b", YAML, PROTOBUF)
            )
        headers = {}
        while self._chance(0.15):
            name = self._one_of(list(HEADERS))
            headers[name] = self._one_of(HEADERS[name])
        return Request(method, path + query, body, content_type, headers)

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    # --- what is asked -------------------------------------------------------------------------------------------

    def _seed_object(self) -> tuple[str, dict[str, Any]]:
        """Return the path of a collection, and an object for it."""
        if self._chance(0.15):
            return THINGS, copy.deepcopy(THING)
        seed = copy.deepcopy(self._one_of(SEEDS))
        path = collection(kind_of(seed))
        seed["metadata"].pop("namespace", None)
        seed["metadata"] |= {"name": NAME} if self._chance(0.9) else {}
        return path, seed

    def _write(self) -> tuple[str, str, bytes, str]:
        path, obj = self._seed_object()
        method = self._one_of(("POST", "POST", "PUT"))
        if method == "PUT":
            path += f"/{NAME}" + self._one_of(("", "", "/status"))
        return (method, path, *self._encoded(self._broken(obj)))

    def _patch(self) -> tuple[str, str, bytes, str]:
        path, obj = self._seed_object()
        path += f"/{NAME}" + self._one_of(("", "", "/status", "/scale"))
        content_type = self._one_of((MERGE, STRATEGIC, JSON_PATCH, APPLY))
        if content_type == JSON_PATCH:
            return "PATCH", path, self._json(self._operations(obj)), content_type
        if content_type == APPLY:
            body, _ = self._encoded(self._broken(obj))
            return "PATCH", path, body, content_type
        part = self._broken(obj)
        if isinstance(part, dict) and self._chance(0.5):
            part = {key: part[key] for key in self._random.sample(list(part), min(1, len(part)))}
        if content_type == STRATEGIC and self._chance(0.5):
            for place in self._random.sample(list(_places(part)), 1):
                holder = _at(part, place)
                if isinstance(holder, dict):
                    holder[self._one_of(_PIECES["directives"])] = copy.deepcopy(
                        self._one_of((*VALUES, "delete", "replace", "merge"))
                    )
        return "PATCH", path, self._json(part), content_type

    def _operations(self, obj: dict[str, Any]) -> Any:
        operations: list[Any] = []
        for _ in range(self._random.randint(1, 4)):
            pointers = ["".join(f"/{part}" for part in place) for place in _places(obj)]
            operation: Any = {"op": self._one_of(("add", "remove", "replace", "move", "copy", "test", "x"))}
            operation["path"], operation["from"] = self._one_of(pointers), self._one_of(pointers)
            operation["value"] = copy.deepcopy(self._one_of(VALUES))
            if self._chance(0.2):
                operation["path"] += self._one_of(
                    ("/-", "/0", "/-1", "/²", "/٣", "/99", "/" + "9" * 30, "/~2", "~", "/a/b")
                )
            operations.append(operation)
        return self._broken(operations) if self._chance(0.3) else operations

    def _part(self) -> tuple[str, str, bytes, str]:
        """Write a subresource."""
        seed = self._one_of(SEEDS)
        kind = kind_of(seed)
        parts = [row.name for row in kind.subresources if row.name not in STREAMS]
        part = self._one_of(parts or ["status", "scale"])
        body = copy.deepcopy(_PIECES["bodies"].get(part) or seed)
        method = self._one_of(("POST", "PUT", "PATCH", "GET", "DELETE"))
        encoded, content_type = self._encoded(self._broken(body))
        if method == "PATCH":
            encoded, content_type = self._json(self._broken(body)), self._one_of((MERGE, STRATEGIC))
        return method, f"{collection(kind)}/{NAME}/{part}", encoded, content_type

    def _other(self) -> tuple[str, str, bytes, str]:
        """Read, delete, review, stream, or ask for a path that does not exist."""
        kind = kind_of(self._one_of(SEEDS))
        match self._random.randrange(7):
            case 0:
                path, body = self._one_of(_PIECES["reviews"])
                return ("POST", path, *self._encoded(self._broken(copy.deepcopy(body))))
            case 1:
                return (
                    "DELETE",
                    f"{collection(kind)}/{NAME}",
                    *self._encoded(self._broken(copy.deepcopy(_PIECES["deleteOptions"]))),
                )
            case 2:
                part, plural = self._one_of(STREAMS), self._one_of(("pods", "services"))
                name = self._one_of(
                    (STILL, f"{STILL}:²", f"{STILL}:80", f"https:{STILL}:", f"a:{STILL}:b:c", "none", *TEXTS)
                )
                path = f"/api/v1/namespaces/{NAMESPACE}/{plural}/{_escaped(name)}/{part}"
                return self._one_of(("GET", "POST", "DELETE")), path, b"", JSON
            case 3:
                return "GET", self._one_of(_PIECES["documents"]), b"", JSON
            case 4:
                parts = [
                    "api",
                    "apis",
                    "v1",
                    "apps",
                    "namespaces",
                    NAMESPACE,
                    "pods",
                    NAME,
                    "watch",
                    *map(_escaped, TEXTS),
                ]
                path = "/".join(self._random.choices(parts, k=self._random.randint(1, 8)))
                return self._one_of(("GET", "HEAD", "POST", "OPTIONS", "TRACE", "X")), f"/{path}", b"", JSON
        return "GET", collection(kind) + self._one_of(("", f"/{NAME}", f"/{NAME}/status")), b"", JSON

    def _query(self) -> str:
        pairs = []
        while self._chance(0.35):
            pairs.append(f"{self._one_of(_PIECES['parameters'])}={_escaped(self._one_of(PARAMETER_VALUES))}")
        if self._chance(0.2):
            pairs.append("fieldManager=m")
        if self._chance(0.03):
            pairs.append(
                self._one_of(("%ff=%ff", "=", "&&", "a", "%", "limit=%f", "limit=%ed%a0%80", "a=b;c=d", "limit=%00"))
            )
        if any(pair.startswith(("watch", "follow")) for pair in pairs):
            pairs.insert(0, "timeoutSeconds=-1")  # so that it ends; of several values the first counts
        return "?" + "&".join(pairs) if pairs else ""

    # --- what is wrong with it -----------------------------------------------------------------------------------

    def _broken(self, value: Any) -> Any:
        """Return the value with up to three places changed, removed, added or doubled."""
        holder: Any = [value]
        for _ in range(self._one_of((0, 1, 1, 2, 3))):
            *path, key = self._one_of([place for place in _places(holder) if place])
            parent = _at(holder, path)
            match self._random.randrange(6):
                case 0 | 1 | 2:
                    parent[key] = copy.deepcopy(self._one_of(VALUES))
                case 3 if path:
                    del parent[key]
                case 4 if isinstance(parent[key], dict):
                    name = self._one_of((*FIELDS, *TEXTS[:12]))
                    parent[key][name] = copy.deepcopy(self._one_of((*VALUES, *SEEDS)))
                case 5 if isinstance(parent[key], list) and parent[key]:
                    parent[key].append(copy.deepcopy(self._one_of(parent[key])))
        return holder[0] if holder else None

    def _encoded(self, value: Any) -> tuple[bytes, str]:
        if self._chance(0.25):
            return self._yaml(value), YAML
        if self._chance(0.05):
            return self._protobuf(value), PROTOBUF
        return self._json(value), JSON

    def _json(self, value: Any) -> bytes:
        text = json.dumps(value, ensure_ascii=self._chance(0.5))
        for _ in range(self._one_of((0, 0, 0, 1))):
            text = self._replaced(text, r'(?<=[:\[,] )("[^"]*"|-?\d+|true|false|null)', self._one_of(RAW))
        if self._chance(0.05):  # a member twice
            text = re.sub(r'("\w+": ("\w*"|\d+))', r"\1, \1", text, count=1)
        return self._torn(text.encode(errors="surrogateescape"))

    def _yaml(self, value: Any) -> bytes:
        text: str = yaml.safe_dump(value, default_flow_style=self._chance(0.3), allow_unicode=self._chance(0.5))
        for _ in range(self._one_of((0, 1, 1, 2))):
            text = self._replaced(text, r"(?<=: )[^\n,{}]+|(?<=- )[^\n,{}]+", self._one_of(_PIECES["yaml"]))
        return self._torn(text.encode(errors="surrogatepass"))

    def _protobuf(self, value: Any) -> bytes:
        """Return an envelope of upstream's with fields at random: small numbers, lengths that may lie."""
        named = value if isinstance(value, dict) else {}
        identity = b"".join(
            bytes([tag, len(text := str(named.get(field)).encode(errors="replace")[:60])]) + text
            for tag, field in ((0x0A, "apiVersion"), (0x12, "kind"))
        )
        content = b"".join(
            bytes([self._random.randrange(1, 20) << 3 | self._one_of((0, 1, 2, 5)), self._random.randrange(12)])
            + self._random.randbytes(self._random.randrange(12))
            for _ in range(self._random.randrange(8))
        )
        parts = b"".join(bytes([tag, len(part) % 128]) + part for tag, part in ((0x0A, identity), (0x12, content)))
        return self._torn(b"k8s\0" + parts)

    def _replaced(self, text: str, pattern: str, by: str) -> str:
        found = list(re.finditer(pattern, text))
        if not found:
            return text
        chosen = self._one_of(found)
        return text[: chosen.start()] + by + text[chosen.end() :]

    def _torn(self, body: bytes) -> bytes:
        if not self._chance(0.03) or not body:
            return body
        at = self._random.randrange(len(body))
        return self._one_of(
            (body[:at], body[:at] + self._random.randbytes(2) + body[at:], body + body, b"\xef\xbb\xbf" + body)
        )


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from _places(child, (*path, key))


def _at(value: Any, path: Any) -> Any:
    for step in path:
        value = value[step]
    return value


def _escaped(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


FIELDS = sorted(
    {place[-1] for seed in SEEDS for place in _places(seed) if place and isinstance(place[-1], str)}
    | {"managedFields", "ownerReferences", "finalizers", "deletionTimestamp", "generateName", "annotations", "uid"}
    | {
        "resourceVersion",
        "generation",
        "conditions",
        "matchExpressions",
        "selfLink",
        "status",
        "spec",
        *_PIECES["directives"],
    }
)
