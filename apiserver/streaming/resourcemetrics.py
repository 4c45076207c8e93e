"""The resource metrics API (metrics.k8s.io, for ``kubectl top``): how much CPU and memory nodes and pods use.

The kubelets are asked when a client asks; upstream's metrics-server scrapes them every 15 seconds, asked or not. CPU
usage is a rate, so it takes two scrapes of a kubelet's /metrics/resource. The later one is made now. The earlier one
is left from a former request, if it is between WINDOW and OLDEST seconds old and knows every container; else it is made
now too, and the answer takes WINDOW seconds longer. A node whose kubelet does not answer is missing in a list, and so
are its pods: kubectl shows them as unknown.
"""

from __future__ import annotations

import http.client
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from apiserver.kinds.nodes import NODES
from apiserver.kinds.pods.row import PODS
from apiserver.kinds.resourcemetrics import NODE_METRICS, POD_METRICS
from apiserver.model.kind import Kind
from apiserver.model.reader import Reader
from apiserver.model.trace import spent
from apiserver.registry.reader import require_object
from apiserver.streaming.backend import BackendError, Dialer
from apiserver.streaming.targets import kubelet_of
from machinery.errors import ApiError, not_found
from machinery.objects import Object, format_time, now
from machinery.quantity import format_quantity

log = logging.getLogger(__name__)

WINDOW = 0.8  # seconds between two samples, at least
OLDEST = 60.0  # and at most
TIMEOUT = 5.0  # seconds that a kubelet has for its answer
MOST_METRICS = 4 << 20  # bytes of it; some 300 for each container
PARALLEL = 16  # kubelets that are asked at a time

Key = tuple[str, str, str]  # namespace, pod, container; all empty for the node itself
NODE: Key = ("", "", "")


class UsageSample(NamedTuple):
    """The counters of a container or node at one time."""

    at: float  # seconds since the epoch
    cpu: float  # seconds of CPU time since the start
    memory: float  # bytes of the working set
    started: float  # seconds since the epoch; 0 for a node


class UsageRate(NamedTuple):
    """What a container or node uses."""

    cpu: float  # CPUs, as an average over the window
    memory: float  # bytes
    at: float  # the end of the window, in seconds since the epoch
    window: float  # seconds


Samples = Mapping[Key, UsageSample]
# Returns a node's /metrics/resource; raises ApiError, BackendError, OSError or HTTPException.
Fetch = Callable[[Object], str]

_LINE = re.compile(
    r"(?:node|container)_(cpu_usage_seconds_total|memory_working_set_bytes|start_time_seconds)"
    r"(?:\{(.*)\})? ([0-9.eE+-]+)(?: ([0-9]+))?"
)
_FIELDS = {"cpu_usage_seconds_total": "cpu", "memory_working_set_bytes": "memory", "start_time_seconds": "started"}


def parse(text: str) -> Samples:
    """Parse a kubelet's /metrics/resource; what has no CPU time or no memory there is left out."""
    found: dict[Key, dict[str, float]] = {}
    for match in filter(None, map(_LINE.fullmatch, text.splitlines())):
        name, labels, value, at = match.groups()
        # The values are names, in which nothing has to be escaped.
        named = {key: value.strip('"') for key, _, value in (each.partition("=") for each in (labels or "").split(","))}
        key = named.get("namespace", ""), named.get("pod", ""), named.get("container", "")
        point = found.setdefault(key, {"started": 0.0})
        point[_FIELDS[name]] = float(value)
        if name.startswith("cpu"):
            point["at"] = int(at or 0) / 1000
    return {key: UsageSample(**point) for key, point in found.items() if len(point) == len(UsageSample._fields)}


def rates(before: Samples, after: Samples) -> dict[Key, UsageRate]:
    """Return what was used between two scrapes, without containers that started or ended meanwhile."""
    found = {}
    for key, last in after.items():
        first = before.get(key)
        if first is not None and first.started == last.started and first.at < last.at and first.cpu <= last.cpu:
            window = last.at - first.at
            found[key] = UsageRate((last.cpu - first.cpu) / window, last.memory, last.at, window)
    return found


class _Scrape(NamedTuple):
    """The samples of a node, and when they were taken (by the clock of ``Kubelets``)."""

    at: float
    samples: Samples


class Kubelets:
    """Asks the kubelets, and keeps the last two scrapes of each that are some time apart."""

    def __init__(
        self,
        reader: Reader,
        fetch: Fetch,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reader = reader
        self._fetch = fetch
        self._sleep = sleep
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, list[_Scrape]] = {}

    def usage_of(self, nodes: Iterable[Object]) -> dict[str, dict[Key, UsageRate]]:
        """Return for each node's name what it and its containers use, without nodes whose kubelet does not answer."""
        asked, since = list(nodes), time.perf_counter()
        with ThreadPoolExecutor(PARALLEL, "usage") as pool:
            found = pool.map(self._of_node, asked)
            used = {node["metadata"]["name"]: one for node, one in zip(asked, found, strict=True) if one is not None}
        spent("kubelets", since)
        return used

    def _of_node(self, node: Object) -> dict[Key, UsageRate] | None:
        name = node["metadata"]["name"]
        try:
            latest = self._scrape(node)
            before = self._before(name, latest)
            if before is None:
                self._keep(name, latest)
                before = latest
                self._sleep(WINDOW)
                latest = self._scrape(node)
            self._keep(name, latest)
        except (ApiError, BackendError, OSError, http.client.HTTPException) as error:
            log.warning("node %s does not tell what it uses: %s", name, error)
            with self._lock:
                self._kept.pop(name, None)
            return None
        return rates(before.samples, latest.samples)

    def _before(self, node: str, latest: _Scrape) -> _Scrape | None:
        """Return the youngest earlier scrape that is old enough and knows every container; None if there is none."""
        with self._lock:
            for kept in reversed(self._kept.get(node, ())):
                if WINDOW <= latest.at - kept.at <= OLDEST and len(rates(kept.samples, latest.samples)) == len(
                    latest.samples
                ):
                    return kept
        return None

    def _keep(self, node: str, latest: _Scrape) -> None:
        with self._lock:
            kept = self._kept.setdefault(node, [])
            if not kept or latest.at - kept[-1].at >= WINDOW / 2:
                kept.append(latest)
                del kept[:-2]

    def _scrape(self, node: Object) -> _Scrape:
        text = self._fetch(node)
        return _Scrape(self._clock(), parse(text))


def fetch_over(dialer: Dialer) -> Fetch:
    """Return what fetches a kubelet's metrics over HTTPS."""

    def fetch(node: Object) -> str:
        target = kubelet_of(node)
        connection = http.client.HTTPConnection(target.host, target.port)
        backend = dialer.kubelet(target, timeout=TIMEOUT)
        backend.expire_after(TIMEOUT)
        connection.sock = backend
        try:
            connection.request("GET", "/metrics/resource", headers={"Connection": "close"})
            answer = connection.getresponse()
            text = answer.read(MOST_METRICS).decode(errors="replace")
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise BackendError(f"{answer.status}: {text.strip()[:500]}")
        return text

    return fetch


class _Source:
    """A source of computed objects (see ``registry.read.Computed``), each about an object of the kind ``about``."""

    kind: Kind
    about: Kind

    def __init__(self, kubelets: Kubelets) -> None:
        self._kubelets = kubelets

    def get(self, namespace: str, name: str) -> Object:
        for found in self._of([require_object(self._kubelets.reader, self.about, namespace, name)]):
            return found
        what = f"{self.kind.kind.lower()}.{self.kind.group}"  # as metrics-server names it, not the resource
        raise not_found(what, f"{namespace}/{name}" if namespace else name)

    def list(self, namespace: str) -> Sequence[Object]:
        return self._of(self._kubelets.reader.list(self.about, namespace, consistent=True))

    def _of(self, subjects: Sequence[Object]) -> Sequence[Object]:
        """Return the metrics of those of the nodes or pods that use anything."""
        raise NotImplementedError


class NodeMetricsSource(_Source):
    kind, about = NODE_METRICS, NODES

    def _of(self, subjects: Sequence[Object]) -> Sequence[Object]:
        used = self._kubelets.usage_of(subjects)
        return [
            {**_measured(NODE_METRICS.kind, node, [total]), "usage": _quantities(total)}
            for node in subjects
            if (total := used.get(node["metadata"]["name"], {}).get(NODE)) is not None
        ]


class PodMetricsSource(_Source):
    kind, about = POD_METRICS, PODS

    def _of(self, subjects: Sequence[Object]) -> Sequence[Object]:
        running = [pod for pod in subjects if (pod.get("status") or {}).get("phase") == "Running"]
        names = sorted({pod["spec"].get("nodeName", "") for pod in running})
        nodes = [node for name in names if (node := self._kubelets.reader.get(NODES, "", name)) is not None]
        by_pod: dict[tuple[str, str], dict[str, UsageRate]] = {}
        for used in self._kubelets.usage_of(nodes).values():
            for (namespace, pod, container), amounts in used.items():
                by_pod.setdefault((namespace, pod), {})[container] = amounts
        return [
            {
                **_measured(POD_METRICS.kind, pod, containers.values()),
                "containers": [{"name": name, "usage": _quantities(used)} for name, used in sorted(containers.items())],
            }
            for pod in running
            if (containers := by_pod.get((pod["metadata"]["namespace"], pod["metadata"]["name"])))
        ]


def _measured(kind: str, subject: Object, used: Iterable[UsageRate]) -> Object:
    """Return what both kinds have in common: the node's or pod's name and labels, and the window."""
    last = min(used, key=lambda one: one.at)
    labels = subject["metadata"].get("labels")
    names = {name: subject["metadata"][name] for name in ("name", "namespace") if name in subject["metadata"]}
    return {
        "kind": kind,
        "apiVersion": NODE_METRICS.api_version,
        "metadata": {**names, "creationTimestamp": now(), **({"labels": labels} if labels else {})},
        "timestamp": format_time(datetime.fromtimestamp(last.at, UTC)),
        "window": _duration(last.window),
    }


def _duration(seconds: float) -> str:
    """Format seconds as Go formats a duration: ``800ms``, ``7.5s``."""
    milliseconds = round(seconds * 1000)
    return f"{milliseconds}ms" if milliseconds < 1000 else f"{milliseconds / 1000:g}s"


def _quantities(used: UsageRate) -> Object:
    nanos = Decimal(round(used.cpu * 10**9)).scaleb(-9)
    return {"cpu": format_quantity(nanos), "memory": format_quantity(Decimal(int(used.memory)), "BinarySI")}
