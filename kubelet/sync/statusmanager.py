"""Write pod statuses to the API server in threads of its own: one patch for each change, with only what differs.

Of several statuses that wait for one pod only the newest is written; while the API server is away they wait here, and
pods go on. A status that somebody else overwrote is corrected, because the difference is always computed from what the
API server has. When a pod has ended, its last status is written before its object is deleted.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from kubelet.model import podspec
from machinery.controller import Controller
from machinery.digits import is_number
from machinery.errors import Conflict, NotFound
from machinery.objects import Object
from machinery.resources import PODS, Resource
from machinery.workqueue import WorkQueue

log = logging.getLogger(__name__)

Status = dict[str, Any]
LONGEST_RETRY = 5.0
WORKERS = 4
# The fields of the status that the kubelet sets and removes. Conditions are merged by type instead.
OWN_FIELDS = (
    "phase",
    "reason",
    "message",
    "hostIP",
    "hostIPs",
    "podIP",
    "podIPs",
    "startTime",
    "qosClass",
    "initContainerStatuses",
    "containerStatuses",
)
# A strategic merge patch would merge these lists, but a new address replaces the old one.
REPLACED = ("podIPs", "hostIPs")


class PodApi(Protocol):
    def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        body: Any,
        *,
        type: Literal["merge", "strategic", "json"] = "merge",
        subresource: str = "",
    ) -> Object: ...

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        grace_period: int | None = None,
        uid: str | None = None,
    ) -> Object: ...


@dataclass(slots=True)
class _Entry:
    pod: Object  # as the informer last showed it
    wanted: Status | None = None
    written: Object | None = None  # the pod as the API server answered to our last patch
    finish: bool = False


class StatusManager:
    """Calls ``released(uid)`` when the API server has deleted a pod for good."""

    def __init__(self, client: PodApi, released: Callable[[str], None]) -> None:
        self._client = client
        self._released = released
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._controller = Controller(
            "pod-status", self._write, workers=WORKERS, queue=WorkQueue("pod-status", max_delay=LONGEST_RETRY)
        )

    def start(self, stop: threading.Event) -> None:
        self._controller.start(stop)

    def newest(self, pod: Object) -> Object:
        """Return the pod with the newer of two statuses: the informer's, or the one written here if that has not
        seen it yet.
        """
        with self._lock:
            entry = self._entries.setdefault(podspec.uid(pod), _Entry(pod))
            entry.pod = pod
            return _newest(entry)

    def shown(self, pod: Object) -> Object:
        """Return the pod as ``newest`` does, but remember nothing."""
        with self._lock:
            entry = self._entries.get(podspec.uid(pod))
            return _newest(_Entry(pod, written=entry.written)) if entry else pod

    def publish(self, uid: str, status: Status) -> None:
        with self._lock:
            entry = self._entries.get(uid)
            if entry is None:
                return
            entry.wanted = status
            needed = bool(difference(_newest(entry).get("status") or {}, status))
        if needed:
            self._controller.enqueue(uid)

    def finish(self, uid: str) -> None:
        """Delete the API object, after its last status is written, because nothing of the pod runs any more."""
        with self._lock:
            entry = self._entries.get(uid)
            if entry is None:
                return
            entry.finish = True
        self._controller.enqueue(uid)

    def forget(self, uid: str) -> None:
        with self._lock:
            self._entries.pop(uid, None)

    def _write(self, uid: str) -> None:
        with self._lock:
            entry = self._entries.get(uid)
            if entry is None:
                return
            pod, wanted, finish = _newest(entry), entry.wanted, entry.finish
        meta = pod["metadata"]
        try:
            if wanted is not None and (change := difference(pod.get("status", {}), wanted)):
                self._patch(entry, meta, change)
            if finish:
                self._client.delete(PODS, meta["name"], meta["namespace"], grace_period=0, uid=uid)
                log.info("Pod %s/%s has ended and is gone from the API", meta["namespace"], meta["name"])
                self._released(uid)
        except NotFound:
            self._released(uid)
        except Conflict:
            # The uid does not match: another pod has this name now.
            if not finish:
                raise
            self._released(uid)

    def _patch(self, entry: _Entry, meta: dict[str, Any], change: Status) -> None:
        body = {"metadata": {"uid": meta["uid"]}, "status": change}
        written = self._client.patch(
            PODS, meta["name"], meta["namespace"], body, type="strategic", subresource="status"
        )
        log.debug("Status of pod %s/%s: %s", meta["namespace"], meta["name"], ", ".join(change))
        with self._lock:
            entry.written = written


def _newest(entry: _Entry) -> Object:
    written = entry.written
    if written is None or _version(entry.pod) >= _version(written):
        entry.written = None
        return entry.pod
    return {**entry.pod, "status": written.get("status", {})}


def _version(pod: Object) -> int:
    text = pod["metadata"].get("resourceVersion") or "0"
    return int(text) if is_number(text) else 0


def difference(have: Status, want: Status) -> Status:
    """Return the strategic merge patch of ``status`` that makes ``have`` agree with ``want``, empty if it does."""
    change: Status = {}
    for field in OWN_FIELDS:
        if _plain(have.get(field)) == _plain(want.get(field)):
            continue
        new = want.get(field)
        if field in REPLACED and new and have.get(field):
            new = [{"$patch": "replace"}, *new]
        change[field] = new
    have_conditions = {condition["type"]: condition for condition in have.get("conditions", [])}
    conditions = [
        _with_removals(have_conditions.get(condition["type"], {}), condition)
        for condition in want.get("conditions", [])
        if _plain(have_conditions.get(condition["type"])) != _plain(condition)
    ]
    if conditions:
        change["conditions"] = conditions
    return change


def _with_removals(old: Status, new: Status) -> Status:
    """Return the new condition with nulls for the reason and message that it does not have any more."""
    return {**{field: None for field in ("reason", "message") if field in old}, **new}


def _plain(value: Any) -> Any:
    """Return a value without nulls and empty maps, which an API server may leave out."""
    if isinstance(value, dict):
        pairs = {key: _plain(inner) for key, inner in value.items()}
        return {key: inner for key, inner in pairs.items() if inner not in (None, {})}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value
