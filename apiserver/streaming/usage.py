"""What nodes and pods use (metrics.k8s.io, for ``kubectl top``): asked of the kubelets when somebody asks for it.

Processor use is a rate, so it takes two readings of a kubelet's /metrics/resource. The later one is made now. The
earlier one is what a question before has left, when that is neither too young nor too old and knows every container;
else it is made now too, and the answer takes most of a second. (Upstream's metrics-server reads every 15 s, asked or
not.) A node whose kubelet does not answer is not in a list, nor are its pods: kubectl shows them as unknown.
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
from apiserver.kinds.usage import NODE_METRICS, POD_METRICS
from apiserver.model.reader import Reader
from apiserver.model.trace import spent
from apiserver.streaming.backend import BackendError, Dialer
from apiserver.streaming.targets import kubelet_of
from machinery.errors import ApiError, not_found
from machinery.objects import Object, format_time, now
from machinery.quantity import format_quantity

log = logging.getLogger(__name__)

WINDOW = 0.8  # seconds that a measurement lasts at least
OLDEST = 60.0  # and at most
PATIENCE = 5.0  # seconds that a kubelet has for its answer
AT_ONCE = 16  # kubelets that are asked side by side

Key = tuple[str, str, str]  # namespace, pod, container; all empty for the node itself
NODE: Key = ("", "", "")


class Point(NamedTuple):
    """What somebody has used up to a moment: seconds of processor time, and memory at that moment."""

    at: float
    cpu: float
    memory: float
    started: float


class Used(NamedTuple):
    """What somebody uses: processors, bytes, and in which time that was measured."""

    cpu: float
    memory: float
    at: float
    window: float


Reading = Mapping[Key, Point]
# A node's /metrics/resource; raises ApiError, BackendError, OSError or HTTPException.
Ask = Callable[[Object], str]

_LINE = re.compile(
    r"^(node|container)_(cpu_usage_seconds_total|memory_working_set_bytes|start_time_seconds)"
    r"(?:\{(.*)\})? ([0-9.eE+-]+)(?: ([0-9]+))?$",
    re.MULTILINE,
)
_LABEL = re.compile(r'(\w+)="([^"]*)"')  # none of these names holds what would have to be escaped
_FIELDS = {"cpu_usage_seconds_total": "cpu", "memory_working_set_bytes": "memory", "start_time_seconds": "started"}


def parse(text: str) -> Reading:
    """A kubelet's /metrics/resource; who has no processor time or no memory there is left out."""
    found: dict[Key, dict[str, float]] = {}
    for _, name, labels, value, at in _LINE.findall(text):
        named = dict(_LABEL.findall(labels))
        key = named.get("namespace", ""), named.get("pod", ""), named.get("container", "")
        point = found.setdefault(key, {"started": 0.0})
        point[_FIELDS[name]] = float(value)
        if name.startswith("cpu"):
            point["at"] = int(at or 0) / 1000
    return {key: Point(**point) for key, point in found.items() if len(point) == len(Point._fields)}


def rates(before: Reading, after: Reading) -> dict[Key, Used]:
    """What was used between two readings; of who was not there all the time, nothing."""
    found = {}
    for key, last in after.items():
        first = before.get(key)
        if first is not None and first.started == last.started and first.at < last.at and first.cpu <= last.cpu:
            window = last.at - first.at
            found[key] = Used((last.cpu - first.cpu) / window, last.memory, last.at, window)
    return found


class _Kept(NamedTuple):
    """A reading and when it was made."""

    at: float
    reading: Reading


class Usage:
    """Asks the kubelets; remembers for each its last two readings that were some time apart."""

    def __init__(
        self,
        reader: Reader,
        ask: Ask,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reader = reader
        self._ask = ask
        self._sleep = sleep
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, list[_Kept]] = {}

    def of(self, nodes: Iterable[Object]) -> dict[str, dict[Key, Used]]:
        """Node → what it and the containers on it use; without the nodes that do not answer."""
        asked, since = list(nodes), time.perf_counter()
        with ThreadPoolExecutor(AT_ONCE, "usage") as pool:
            found = pool.map(self._of_node, asked)
            used = {node["metadata"]["name"]: one for node, one in zip(asked, found, strict=True) if one is not None}
        spent("kubelets", since)
        return used

    def _of_node(self, node: Object) -> dict[Key, Used] | None:
        name = node["metadata"]["name"]
        try:
            latest = self._read(node)
            before = self._before(name, latest)
            if before is None:
                self._keep(name, latest)
                before = latest
                self._sleep(WINDOW)
                latest = self._read(node)
            self._keep(name, latest)
        except (ApiError, BackendError, OSError, http.client.HTTPException) as error:
            log.warning("node %s does not tell what it uses: %s", name, error)
            with self._lock:
                self._kept.pop(name, None)
            return None
        return rates(before.reading, latest.reading)

    def _before(self, node: str, latest: _Kept) -> _Kept | None:
        """The youngest earlier reading that will do."""
        with self._lock:
            for kept in reversed(self._kept.get(node, ())):
                if WINDOW <= latest.at - kept.at <= OLDEST and len(rates(kept.reading, latest.reading)) == len(
                    latest.reading
                ):
                    return kept
        return None

    def _keep(self, node: str, latest: _Kept) -> None:
        with self._lock:
            kept = self._kept.setdefault(node, [])
            if not kept or latest.at - kept[-1].at >= WINDOW / 2:
                kept.append(latest)
                del kept[:-2]

    def _read(self, node: Object) -> _Kept:
        text = self._ask(node)
        return _Kept(self._clock(), parse(text))


def asking(dialer: Dialer) -> Ask:
    """Asks kubelets over HTTPS."""

    def ask(node: Object) -> str:
        connection = dialer.kubelet(kubelet_of(node), PATIENCE)
        try:
            connection.sock.settimeout(PATIENCE)
            connection.request("GET", "/metrics/resource", headers={"Connection": "close"})
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise BackendError(f"{answer.status}: {text.strip()[:500]}")
        return text

    return ask


class NodeMetrics:
    """See ``Computed``."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage

    def get(self, namespace: str, name: str) -> Object:
        node = self._usage.reader.get(NODES, "", name, fresh=True)
        if node is None:
            raise not_found("nodes", name)
        found = self._of([node])
        if not found:
            raise not_found("nodemetrics.metrics.k8s.io", name)
        return found[0]

    def list(self, namespace: str) -> Sequence[Object]:
        return self._of(self._usage.reader.list(NODES, fresh=True))

    def _of(self, nodes: Sequence[Object]) -> Sequence[Object]:
        used = self._usage.of(nodes)
        return [
            {**_measured(NODE_METRICS.kind, node, [total]), "usage": _quantities(total)}
            for node in nodes
            if (total := used.get(node["metadata"]["name"], {}).get(NODE)) is not None
        ]


class PodMetrics:
    """See ``Computed``. Only running pods use anything."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage

    def get(self, namespace: str, name: str) -> Object:
        pod = self._usage.reader.get(PODS, namespace, name, fresh=True)
        if pod is None:
            raise not_found("pods", name)
        found = self._of([pod])
        if not found:
            raise not_found("podmetrics.metrics.k8s.io", f"{namespace}/{name}")
        return found[0]

    def list(self, namespace: str) -> Sequence[Object]:
        return self._of(self._usage.reader.list(PODS, namespace, fresh=True))

    def _of(self, pods: Sequence[Object]) -> Sequence[Object]:
        running = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Running"]
        names = sorted({pod["spec"].get("nodeName", "") for pod in running})
        nodes = [node for name in names if (node := self._usage.reader.get(NODES, "", name)) is not None]
        by_pod: dict[tuple[str, str], dict[str, Used]] = {}
        for used in self._usage.of(nodes).values():
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


def _measured(kind: str, subject: Object, used: Iterable[Used]) -> Object:
    """What both kinds say of the subject and of the time in which it was measured."""
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
    """As Go writes it: ``800ms``, ``7.5s``."""
    milliseconds = round(seconds * 1000)
    return f"{milliseconds}ms" if milliseconds < 1000 else f"{milliseconds / 1000:g}s"


def _quantities(used: Used) -> Object:
    nanos = Decimal(round(used.cpu * 10**9)).scaleb(-9)
    return {"cpu": format_quantity(nanos), "memory": format_quantity(Decimal(int(used.memory)), "BinarySI")}
