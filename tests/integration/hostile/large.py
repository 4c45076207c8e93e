"""Requests as large as somebody wants them, each of a kind that has cost seconds or minutes before, or could.

Each function takes a number and returns a request that grows with it; at 8,000 most are half a megabyte or more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from integration.hostile.generator import APPLY, JSON, JSON_PATCH, MERGE, PROTOBUF, STRATEGIC, YAML
from integration.hostile.server import NAME, NAMESPACE, THING, THINGS, Request

from apiserver.schema import protobuf

CORE = f"/api/v1/namespaces/{NAMESPACE}"
ROLES = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles"
CONFIG_MAPS = f"{CORE}/configmaps"
DRY = "?dryRun=All"
Make = Callable[[int], Request]


def _many(count: int, text: str = "a{}") -> list[str]:
    return [text.format(number) for number in range(count)]


def _post(path: str, body: Any, content_type: str = JSON, token: str = "admin-token") -> Request:
    return Request(
        "POST", path + DRY, body if isinstance(body, bytes) else orjson.dumps(body), content_type, token=token
    )


def _patch(path: str, body: Any, content_type: str, query: str = "") -> Request:
    return Request("PATCH", path + DRY + query, body if isinstance(body, bytes) else orjson.dumps(body), content_type)


def _config_map(**more: Any) -> dict[str, Any]:
    metadata = {"name": NAME, **more.pop("metadata", {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **more}


def _yaml(text: bytes) -> Request:
    return _post(CONFIG_MAPS, b"metadata: {name: a}\n" + text, YAML)


def _protobuf(kind: str, raw: bytes) -> Request:
    return _post(f"{CORE}/{kind.lower().removesuffix('s')}s", protobuf.enclose("v1", kind, raw), PROTOBUF)


def _role(count: int, token: str) -> Request:
    each = _many(count)
    rule = {"verbs": each, "apiGroups": each, "resources": each, "resourceNames": each}
    return _post(ROLES, {"metadata": {"name": NAME}, "rules": [rule]}, token=token)


def _owners(count: int) -> list[dict[str, Any]]:
    return [{"apiVersion": "v1", "kind": "K", "name": f"n{number}", "uid": f"u{number}"} for number in range(count)]


def _managed(fields: dict[str, Any], count: int = 1) -> Request:
    entry = {"operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields}
    entries = [{"manager": f"m{number}", **entry} for number in range(count)]
    return _post(CONFIG_MAPS, _config_map(metadata={"managedFields": entries}))


def _operations(count: int, make: Callable[[int], dict[str, Any]]) -> Request:
    return _patch(f"{CONFIG_MAPS}/large", [make(number) for number in range(min(count, 10_000))], JSON_PATCH)


def _ports(count: int) -> list[dict[str, Any]]:
    return [{"port": number % 65535 + 1, "name": f"p{number}"} for number in range(count)]


def _thing(**spec: Any) -> dict[str, Any]:
    return {**THING, "spec": spec}


def _items(count: int) -> list[dict[str, Any]]:
    return [{"key": key, "value": 1} for key in _many(count)]


def _endpoints(subsets: list[dict[str, Any]]) -> Request:
    return _post(f"{CORE}/endpoints", {"metadata": {"name": NAME}, "subsets": subsets})


def _addresses(count: int, text: str) -> list[dict[str, str]]:
    return [{"ip": text.format(number >> 8, number & 255)} for number in range(count)]


def _amounts(count: int, text: str = "{}", name: str = "a.b/r{}") -> dict[str, str]:
    return {name.format(number): text.format(number) for number in range(count)}


def _pod(resources: dict[str, Any]) -> Request:
    container = {"name": "c", "image": "i", "resources": resources}
    return _post(f"{CORE}/pods", {"metadata": {"name": NAME}, "spec": {"containers": [container]}})


def _limit_range(**item: Any) -> Request:
    return _post(
        f"{CORE}/limitranges", {"metadata": {"name": NAME}, "spec": {"limits": [{"type": "Container", **item}]}}
    )


def _get(query: str) -> Request:
    return Request("GET", f"{CONFIG_MAPS}?{query}")


BIG = 6_000  # items of the objects ``large``
# What must be there before: paths of collections, and objects.
BEFORE: list[tuple[str, dict[str, Any]]] = [
    (CONFIG_MAPS, _config_map(metadata={"name": "large"}, data=dict.fromkeys(_many(BIG), "x"))),
    (CONFIG_MAPS, _config_map(metadata={"name": "kept", "finalizers": _many(BIG, "example.com/a{}")})),
    (THINGS, {**_thing(map=[{"key": key} for key in _many(BIG)], set=_many(BIG)), "metadata": {"name": "large"}}),
]

REQUESTS: dict[str, Make] = {
    "unknown fields": lambda n: _post(CONFIG_MAPS, {**_config_map(), **dict.fromkeys(_many(n, "u{}"), 1)}),
    "unknown fields in a list": lambda n: _post(
        f"{CORE}/endpoints", {"metadata": {"name": NAME}, "subsets": [{"u": 1}] * n}
    ),
    "unknown fields of a custom resource": lambda n: _post(THINGS, _thing(**dict.fromkeys(_many(n, "u{}"), 1))),
    "fields twice": lambda n: _post(CONFIG_MAPS, b'{"metadata":{"name":"a"},"data":{' + b'"a":"b",' * n + b'"c":"d"}}'),
    "long paths": lambda n: _post(
        THINGS, _thing(**{"k" * n * 20: 1, "list": [{"k" * n * 20: {key: {} for key in _many(n)}}]})
    ),
    "yaml: a number in base 60": lambda n: _yaml(b"data: {a: " + b"1:" * (n * 20) + b"1}"),
    "yaml: many digits": lambda n: _yaml(b"data: {a: " + b"1" * (n * 50) + b"}"),
    "yaml: keys": lambda n: _yaml(b"data: {" + b",".join(b"k%d: v" % i for i in range(n)) + b"}"),
    "yaml: keys twice": lambda n: _yaml(b"data:\n" + b"  k: v\n" * n),
    "yaml: merge keys": lambda n: _yaml(b"x: &x {a: b}\ndata:\n" + b"  <<: *x\n" * n),
    "yaml: a chain of merges": lambda n: _yaml(
        b"x0: &x0 {a: b}\n" + b"".join(b"x%d: &x%d {<<: *x%d, k%d: v}\n" % (i, i, i - 1, i) for i in range(1, 900))
    ),
    "yaml: one map merged into many": lambda n: _yaml(
        b"x: &x {" + b",".join(b"k%d: v" % i for i in range(n // 4)) + b"}\ny: [" + b"{<<: *x}," * (n // 4) + b"]"
    ),
    "yaml: aliases of aliases": lambda n: _yaml(
        b"a0: &a0 [x]\n"
        + b"".join(b"a%d: &a%d [*a%d,*a%d]\n" % (i, i, i - 1, i - 1) for i in range(1, min(n // 100, 60)))
    ),
    "yaml: nested": lambda n: _yaml(b"data: " + b"[" * n * 20),
    "json: nested": lambda n: _post(CONFIG_MAPS, b'{"a":' * n * 10 + b"1"),
    "protobuf: messages with nothing in them": lambda n: _protobuf("Endpoints", b"\x12\x00" * n * 20),
    "protobuf: one field again and again": lambda n: _protobuf("ConfigMap", b"\x20\x01" * n * 20),
    "protobuf: metadata again and again": lambda n: _protobuf("ConfigMap", b"\x0a\x03\x0a\x01a" * n * 20),
    "protobuf: groups in groups": lambda n: _protobuf("ConfigMap", b"\xa3\x06" * n * 20),
    "protobuf: unknown fields": lambda n: _protobuf("ConfigMap", b"\xa0\x06\x01" * n * 20),
    "json: digits": lambda n: _post(CONFIG_MAPS, b'{"a":' + b"1" * (n * 50) + b"}"),
    "owners": lambda n: _post(CONFIG_MAPS, _config_map(metadata={"ownerReferences": _owners(n)})),
    "owners twice": lambda n: _post(CONFIG_MAPS, _config_map(metadata={"ownerReferences": _owners(1) * n})),
    "wrong finalizers": lambda n: _post(CONFIG_MAPS, _config_map(metadata={"finalizers": _many(n, "a {}")})),
    "wrong labels": lambda n: _post(
        CONFIG_MAPS, _config_map(metadata={"labels": dict.fromkeys(_many(n, "a {}"), " ")})
    ),
    "managers": lambda n: _managed({"f:data": {"f:a": {}}}, n),
    "managed fields": lambda n: _managed({"f:data": {f"f:{key}": {} for key in _many(n)}}),
    "managed fields by keys": lambda n: _managed({"f:data": {f'k:{{"a":{number}}}': {} for number in range(n)}}),
    "a role of many combinations": lambda n: _role(n // 4, "admin-token"),
    "a role of many combinations, to somebody": lambda n: _role(n // 4, "roles-token"),
    "a quota of many scopes": lambda n: _post(
        f"{CORE}/resourcequotas",
        {
            "metadata": {"name": NAME},
            "spec": {"hard": dict.fromkeys(_many(n, "count/a{}"), "1"), "scopes": ["Terminating"] * n},
        },
    ),
    "usages": lambda n: _post(
        "/apis/certificates.k8s.io/v1/certificatesigningrequests",
        {"metadata": {"name": NAME}, "spec": {"signerName": "a.b/c", "usages": ["client auth"] * n, "request": "LS0t"}},
    ),
    "json patch: additions": lambda n: _operations(n, lambda i: {"op": "add", "path": f"/data/k{i}", "value": "v"}),
    "json patch: copies": lambda n: _operations(n, lambda i: {"op": "copy", "from": "/data", "path": f"/k{i}"}),
    "json patch: moves": lambda n: _operations(n, lambda i: {"op": "move", "from": "/data", "path": "/data"}),
    "json patch: tests": lambda n: _operations(n, lambda i: {"op": "test", "path": "/data/a1", "value": "x"}),
    "json patch: insertions": lambda n: _patch(
        f"{CONFIG_MAPS}/kept",
        [{"op": "add", "path": "/metadata/finalizers/0", "value": "a.b/c"}] * min(n, 10_000),
        JSON_PATCH,
    ),
    "json patch: the root": lambda n: _operations(n, lambda i: {"op": "replace", "path": "", "value": _config_map()}),
    "strategic: ports": lambda n: _patch(f"{CORE}/services/still", {"spec": {"ports": _ports(n)}}, STRATEGIC),
    "strategic: ports in order": lambda n: _patch(
        f"{CORE}/services/still", {"spec": {"$setElementOrder/ports": _ports(n), "ports": _ports(n)}}, STRATEGIC
    ),
    "strategic: ports deleted": lambda n: _patch(
        f"{CORE}/services/still", {"spec": {"ports": [{**port, "$patch": "delete"} for port in _ports(n)]}}, STRATEGIC
    ),
    "strategic: finalizers deleted": lambda n: _patch(
        f"{CONFIG_MAPS}/kept",
        {"metadata": {"$deleteFromPrimitiveList/finalizers": _many(n, "example.com/a{}")}},
        STRATEGIC,
    ),
    "strategic: keys retained": lambda n: _patch(
        f"{CONFIG_MAPS}/large", {"data": {"$retainKeys": _many(n), **dict.fromkeys(_many(n), "y")}}, STRATEGIC
    ),
    "strategic: a pod's env": lambda n: _patch(
        f"{CORE}/pods/still",
        {"spec": {"containers": [{"name": "c", "env": [{"name": name, "value": "1"} for name in _many(n)]}]}},
        STRATEGIC,
    ),
    "merge: keys": lambda n: _patch(f"{CONFIG_MAPS}/large", {"data": dict.fromkeys(_many(n), "z")}, MERGE),
    "apply: keys": lambda n: _patch(
        f"{CONFIG_MAPS}/a", _config_map(data=dict.fromkeys(_many(n), "1")), APPLY, "&fieldManager=m"
    ),
    "apply: conflicts": lambda n: _patch(
        f"{CONFIG_MAPS}/large",
        _config_map(metadata={"name": "large"}, data=dict.fromkeys(_many(n), "1")),
        APPLY,
        "&fieldManager=m",
    ),
    "apply: sets and maps": lambda n: _patch(
        f"{THINGS}/large",
        {
            **_thing(map=[{"key": key, "value": 1} for key in reversed(_many(n))], set=_many(n)[::-1]),
            "metadata": {"name": "large"},
        },
        APPLY,
        "&fieldManager=m&force=1",
    ),
    "apply: items twice": lambda n: _patch(f"{THINGS}/b", _thing(set=["a"] * n), APPLY, "&fieldManager=m"),
    "a custom set": lambda n: _post(THINGS, _thing(set=_many(n))),
    "wrong items of a custom map": lambda n: _post(THINGS, _thing(map=[{"value": "x"}] * n)),
    "text for a pattern": lambda n: _post(THINGS, _thing(text="a" * n * 50 + "!")),
    "endpoints: subsets": lambda n: _endpoints(
        [{"addresses": _addresses(1, "10.0.{}.{}"), "ports": _ports(1)}] * (n * 5)
    ),
    "endpoints: addresses": lambda n: _endpoints([{"addresses": _addresses(n * 8, "10.0.{}.{}"), "ports": _ports(1)}]),
    "endpoints: addresses of IPv6": lambda n: _endpoints([{"addresses": _addresses(n * 8, "fd00::{:x}:{:x}")}]),
    "quantities: limits": lambda n: _pod({"limits": _amounts(n * 10)}),
    "quantities: limits with fractions": lambda n: _pod({"limits": _amounts(n * 8, "{}.50Gi")}),
    "quantities: limits and requests": lambda n: _pod({"limits": _amounts(n * 7), "requests": _amounts(n * 7, "0{}")}),
    "quantities: a quota": lambda n: _post(
        f"{CORE}/resourcequotas",
        {"metadata": {"name": NAME}, "spec": {"hard": _amounts(n * 12, "{}Mi", "count/r{}")}},
    ),
    "quantities: a limit range": lambda n: _limit_range(max=_amounts(n * 8)),
    "quantities: a node": lambda n: _post(
        "/api/v1/nodes", {"metadata": {"name": NAME}, "status": {"capacity": _amounts(n * 12)}}
    ),
    "an answer in YAML": lambda n: Request(
        "POST",
        CONFIG_MAPS + DRY,
        orjson.dumps(_config_map(data=_amounts(n * 5, "some text {}", "a{}"))),
        headers={"Accept": YAML},
    ),
    "parameters": lambda n: _get("&".join(_many(n, "a{}=b"))),
    "a label selector": lambda n: _get("labelSelector=" + ",".join(_many(n, "a{}%3Db"))),
    "a field selector": lambda n: _get("fieldSelector=" + ",".join(_many(n, "metadata.name!%3Da{}"))),
    "a manager's name": lambda n: Request(
        "POST", f"{CONFIG_MAPS}?fieldManager={'%00' * n}", orjson.dumps(_config_map())
    ),
}
