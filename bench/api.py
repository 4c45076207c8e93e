"""Measure an API server with ``wrk``: requests a second of GET, LIST and POST, and milliseconds of one POST.

GET reads one ConfigMap of 1 KB, LIST 500 of them, POST creates one with 1 byte of data. Each run takes SECONDS.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Container, Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

import requests
import urllib3

from bench import fanout

NAMESPACE = "mini-bench-api"
OBJECTS = 500
SECONDS = 5
ROWS = {"get", "list", "post", "write", "write-p99", "fanout", "fanout-p99"}

POST_SCRIPT = """
wrk.method = "POST"
wrk.body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"p-"},"data":{"k":"v"}}'
wrk.headers["Content-Type"] = "application/json"
"""


def measure(server: str, token: str, wanted: Container[str]) -> Iterator[tuple[str, float]]:
    """Yield (row, requests a second or milliseconds). Raises RuntimeError if an answer is not 2xx."""
    urllib3.disable_warnings()  # the load generator does not verify the server either
    session = requests.Session()
    session.trust_env, session.verify = False, False
    session.headers["Authorization"] = f"Bearer {token}"
    create(session, f"{server}/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": NAMESPACE}})
    config_maps = f"{server}/api/v1/namespaces/{NAMESPACE}/configmaps"
    try:
        for number in range(OBJECTS):
            create(
                session,
                config_maps,
                {"kind": "ConfigMap", "metadata": {"name": f"c{number}"}, "data": {"k": "x" * 1000}},
            )
        if "get" in wanted:
            yield "get", wrk(f"{config_maps}/c1", token, connections=16).rate
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
        if "post" in wanted:
            yield "post", wrk(config_maps, token, connections=16, script=POST_SCRIPT).rate
    finally:
        session.delete(f"{server}/api/v1/namespaces/{NAMESPACE}").raise_for_status()


def create(session: requests.Session, url: str, obj: dict[str, object]) -> None:
    """Post one v1 object; raise HTTPError if it is refused."""
    session.post(url, json={"apiVersion": "v1", **obj}).raise_for_status()


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
