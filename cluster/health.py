"""Ask the components of a cluster whether they are healthy, and wait until they are."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from cluster import lock, table
from cluster.components import Component
from cluster.docker import UnixConnection
from cluster.errors import ClusterError
from cluster.progress import log_end
from cluster.settings import State
from machinery import errors
from machinery.client import Client
from machinery.objects import Object, get_condition
from machinery.resources import NODES

RETRY_SECONDS = 0.02  # There is no event that tells when a port is opened.
GIVE_UP_FAILURES = 5


class NotWell(ClusterError):
    """A component did not become healthy in time; the text says which, why and where to look."""


def client(state: State) -> Client:
    return Client.from_kubeconfig(state.kubeconfig, user_agent="mini-minishift")


def probe(component: Component, state: State, api: Client | None) -> str:
    """Return why the component is not healthy; empty if it is."""
    try:
        if component.name == "etcd":
            return _probe_etcd(state)
        if component.name == "apiserver":
            if api is None:
                return "no kubeconfig"
            api.raw("/readyz")
            return ""
        with urllib.request.urlopen(component.health, timeout=5):
            return ""
    except urllib.error.HTTPError as error:
        return error.read().decode(errors="replace").strip() or str(error)
    except urllib.error.URLError as error:
        return str(error.reason)
    except (errors.ApiError, OSError, http.client.HTTPException) as error:
        return str(error)


def _probe_etcd(state: State) -> str:
    connection = UnixConnection(state.etcd_socket, timeout=5)
    try:
        connection.request("GET", "/health", headers={"Host": "etcd"})
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return "" if answer.get("health") == "true" else f"says {answer}"


def wait_until(what: str, check: Callable[[], str], state: State, deadline: float) -> None:
    """Wait until ``check`` returns an empty text. Raises NotWell, with the text that it returned last."""
    while True:
        why = check()
        if not why:
            return
        give_up_early(state)
        if time.monotonic() > deadline:
            raise NotWell(f"{what} is not well in time: {why}. See {state.logs}")
        time.sleep(RETRY_SECONDS)


def give_up_early(state: State) -> None:
    """Raise NotWell if waiting is of no use: the supervisor has ended, or a component ends again and again."""
    if lock.holder() is None:
        raise NotWell(f"the supervisor ended: see {state.logs}/supervisor.log")
    dying = _dying(state)
    if dying:
        log = state.logs / f"{dying}.log"
        raise NotWell(f"{dying} keeps dying; the end of {log}:\n{log_end(log)}")


def _dying(state: State) -> str:
    return next((row.name for row in table.read(state) if row.failures >= GIVE_UP_FAILURES and not row.runs), "")


def node_ready(node: Object) -> bool:
    condition = get_condition(node, "Ready")
    return condition is not None and condition["status"] == "True"


def wait_node_ready(api: Client, name: str, state: State, deadline: float) -> None:
    """Wait until the node is Ready. Raises NotWell."""
    selector = f"metadata.name={name}"
    while time.monotonic() < deadline:
        give_up_early(state)
        try:
            listed = api.list(NODES, field_selector=selector)
            if any(node_ready(node) for node in listed["items"]):
                return
            version = listed["metadata"]["resourceVersion"]
            for event in api.watch(NODES, resource_version=version, field_selector=selector, timeout=2):
                if event.type in ("ADDED", "MODIFIED") and node_ready(event.object):
                    return
        except (errors.ServiceUnavailable, errors.Gone):
            time.sleep(RETRY_SECONDS)  # The API server is restarting.
    raise NotWell(f"node {name} is not Ready in time: kubectl describe node {name}, or make logs C=kubelet")
