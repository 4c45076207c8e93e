"""Requests a second of an API server, measured with ``wrk``: GET of one object, LIST of 500, POST."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import requests
import urllib3

NAMESPACE = "mini-bench-api"
OBJECTS = 500
SECONDS = 5

POST_SCRIPT = """
wrk.method = "POST"
wrk.body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"p-"},"data":{"k":"v"}}'
wrk.headers["Content-Type"] = "application/json"
"""


def rates(server: str, token: str) -> Iterator[tuple[str, float]]:
    """Yields (row, requests a second); raises RuntimeError when the server answers anything but success."""
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
        yield "get", wrk(f"{config_maps}/c1", token, connections=16)
        yield "list", wrk(config_maps, token, connections=4)
        yield "post", wrk(config_maps, token, connections=16, script=POST_SCRIPT)
    finally:
        session.delete(f"{server}/api/v1/namespaces/{NAMESPACE}").raise_for_status()


def create(session: requests.Session, url: str, obj: dict[str, object]) -> None:
    """POSTs one v1 object."""
    session.post(url, json={"apiVersion": "v1", **obj}).raise_for_status()


def wrk(url: str, token: str, *, connections: int, script: str = "") -> float:
    """Runs ``wrk`` for SECONDS on two threads and returns its requests a second."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["wrk", "-t2", f"-c{connections}", f"-d{SECONDS}s", "-H", f"Authorization: Bearer {token}"]
        if script:
            path = Path(folder) / "post.lua"
            path.write_text(script)
            command += ["-s", str(path)]
        report = subprocess.run([*command, url], check=True, text=True, stdout=subprocess.PIPE).stdout
    if "Non-2xx" in report or "Socket errors" in report:
        raise RuntimeError(f"wrk met errors at {url}:\n{report}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", report)
    if found is None:
        raise RuntimeError(f"wrk printed no rate:\n{report}")
    return float(found.group(1))


def parse(kubeconfig: str) -> tuple[str, str]:
    """Server URL and bearer token of a kubeconfig's current context; the token is "" where there is none."""
    view = subprocess.run(
        ["kubectl", "--kubeconfig", kubeconfig, "config", "view", "--minify", "--raw", "-o", "json"],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    ).stdout
    config = json.loads(view)
    return config["clusters"][0]["cluster"]["server"], config["users"][0]["user"].get("token", "")
