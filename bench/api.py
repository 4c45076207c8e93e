"""Measure an API server with ``wrk``: requests a second of GET, LIST and POST, and milliseconds of one POST.

GET reads one ConfigMap of 1 KB, as an administrator and as a ServiceAccount, LIST 500 of them, POST creates one with 1
byte of data. Each run takes SECONDS.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Container, Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

import requests
import urllib3

from bench import fanout

NAMESPACE = "mini-bench-api-"  # what the names of its namespaces begin with
ROUNDS = 2
OBJECTS = 500
SECONDS = 5
ROWS = {"get", "get-account", "list", "post", "post-p99", "write", "write-p99", "fanout", "fanout-p99"}
RBAC = "rbac.authorization.k8s.io"
GRANT_SECONDS = 10.0  # until an API server knows of a new RoleBinding
POLL_SECONDS = 0.02

POST_SCRIPT = """
wrk.method = "POST"
wrk.body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"p-"},"data":{"k":"v"}}'
wrk.headers["Content-Type"] = "application/json"
"""


def measure(server: str, token: str, wanted: Container[str]) -> Iterator[tuple[str, float]]:
    """Yield (row, requests a second or milliseconds), ROUNDS times. Raises RuntimeError if an answer is not 2xx."""
    urllib3.disable_warnings()  # the load generator does not verify the server either
    session = requests.Session()
    session.trust_env, session.verify = False, False
    session.headers["Authorization"] = f"Bearer {token}"
    namespaces: list[str] = []
    try:
        for _ in range(ROUNDS):
            made = create(session, f"{server}/api/v1/namespaces", "Namespace", {"generateName": NAMESPACE})
            namespaces.append(f"{server}/api/v1/namespaces/{made['metadata']['name']}")
            yield from _round(session, namespaces[-1], token, wanted)
    finally:
        for namespace in namespaces:  # only now: to empty one takes a while, which would disturb the next round
            session.delete(namespace).raise_for_status()


def _round(
    session: requests.Session, namespace: str, token: str, wanted: Container[str]
) -> Iterator[tuple[str, float]]:
    config_maps = f"{namespace}/configmaps"
    for number in range(OBJECTS):
        create(session, config_maps, "ConfigMap", {"name": f"c{number}"}, data={"k": "x" * 1000})
    if "get" in wanted:
        yield "get", wrk(f"{config_maps}/c1", token, connections=16).rate
    if "get-account" in wanted:
        yield "get-account", wrk(f"{config_maps}/c1", account_token(session, namespace), connections=16).rate
    if "list" in wanted:
        yield "list", wrk(config_maps, token, connections=4).rate
    if "fanout" in wanted or "fanout-p99" in wanted:
        times = fanout.latencies(session, config_maps, token)
        yield "fanout", median(times)
        yield "fanout-p99", quantiles(times, n=100)[98]
    if "write" in wanted or "write-p99" in wanted:
        alone = wrk(config_maps, token, connections=1, script=POST_SCRIPT)
        yield "write", alone.p50
        yield "write-p99", alone.p99
    if "post" in wanted or "post-p99" in wanted:
        crowded = wrk(config_maps, token, connections=16, script=POST_SCRIPT)
        yield "post", crowded.rate
        yield "post-p99", crowded.p99


def create(
    session: requests.Session, url: str, kind: str, metadata: dict[str, str], api_version: str = "v1", **more: Any
) -> dict[str, Any]:
    """Post an object and return it; raise HTTPError if it is refused."""
    answer = session.post(url, json={"apiVersion": api_version, "kind": kind, "metadata": metadata, **more})
    answer.raise_for_status()
    return dict(answer.json())


def account_token(session: requests.Session, namespace: str) -> str:
    """Return the token of a new ServiceAccount that may read the namespace of this URL. Raises TimeoutError."""
    name = {"name": "reader"}
    create(session, f"{namespace}/serviceaccounts", "ServiceAccount", name)
    url = namespace.replace("/api/v1/", f"/apis/{RBAC}/v1/")
    role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "view"}
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": namespace.rpartition("/")[2]}
    create(session, f"{url}/rolebindings", "RoleBinding", name, f"{RBAC}/v1", roleRef=role, subjects=[subject])
    asked = create(
        session, f"{namespace}/serviceaccounts/reader/token", "TokenRequest", {}, "authentication.k8s.io/v1", spec={}
    )
    token = str(asked["status"]["token"])
    deadline = time.monotonic() + GRANT_SECONDS
    while not session.get(f"{namespace}/configmaps/c1", headers={"Authorization": f"Bearer {token}"}).ok:
        if time.monotonic() > deadline:
            raise TimeoutError("a ServiceAccount cannot read what a RoleBinding lets it read")
        time.sleep(POLL_SECONDS)
    return token


class Load(NamedTuple):
    """What wrk measured: requests a second, and the median and 99th percentile of their milliseconds."""

    rate: float
    p50: float
    p99: float


def wrk(url: str, token: str, *, connections: int, script: str = "") -> Load:
    """Run ``wrk`` for SECONDS with two threads, or one for a single connection. Raises RuntimeError for any error."""
    threads = min(2, connections)
    with tempfile.TemporaryDirectory() as folder:
        command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{SECONDS}s", "--latency"]
        command += ["-H", f"Authorization: Bearer {token}"]
        if script:
            path = Path(folder) / "post.lua"
            path.write_text(script)
            command += ["-s", str(path)]
        report = subprocess.run([*command, url], check=True, text=True, stdout=subprocess.PIPE).stdout
    if "Non-2xx" in report or "Socket errors" in report:
        raise RuntimeError(f"wrk had errors at {url}:\n{report}")
    return Load(
        _found(r"Requests/sec:\s+([\d.]+)()", report), _found(_LATENCY % 50, report), _found(_LATENCY % 99, report)
    )


_LATENCY = r"\b%d%%\s+([\d.]+)(us|ms|s)"
_MILLISECONDS = {"": 1.0, "us": 0.001, "ms": 1.0, "s": 1000.0}


def _found(pattern: str, report: str) -> float:
    found = re.search(pattern, report)
    if found is None:
        raise RuntimeError(f"wrk's report is not understood:\n{report}")
    return float(found[1]) * _MILLISECONDS[found[2]]


def parse(kubeconfig: str) -> tuple[str, str]:
    """Return server URL and bearer token of a kubeconfig's current context; the token is empty if there is none."""
    view = subprocess.run(
        ["kubectl", "--kubeconfig", kubeconfig, "config", "view", "--minify", "--raw", "-o", "json"],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    ).stdout
    config = json.loads(view)
    return config["clusters"][0]["cluster"]["server"], config["users"][0]["user"].get("token", "")
