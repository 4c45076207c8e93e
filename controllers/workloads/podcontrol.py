"""Create, delete, adopt and release the pods of a controlling object, each exactly once.

Upstream: RealPodControl and slowStartBatch. There the API server chooses the pod's name, and after a broken connection
nobody knows whether the pod was created. Here we choose the name, by the same rule. So a call with an unknown outcome
can be repeated unchanged: if it was carried out the first time, the answer is AlreadyExists.

An owner is *settled* when no call has an unknown outcome any more and the watch has shown all that was asked for. Until
then its reconciler must not create or delete anything.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial

from controllers.shared.failures import namespace_terminating, outcome_unknown
from controllers.shared.ownership import adoption_patch, release_patch
from controllers.shared.parallel import in_parallel
from machinery.client import Client
from machinery.errors import AlreadyExists, ApiError, Conflict, Invalid, NotFound
from machinery.events import EventRecorder
from machinery.expectations import Expectations
from machinery.objects import Object, controller_of, key, owner_reference, random_suffix
from machinery.resources import PODS

# At most so many calls run at a time. The API server has few processors, so more would only queue there.
PARALLEL = 8
# Upstream cuts what precedes the random suffix at this length, so that the name stays a DNS label of 63 characters.
MAX_NAME_BASE = 58
# How many names are tried if each is taken by a pod of another owner; upstream's API server tries as often.
NAME_TRIES = 8

Call = Callable[[], None]


def new_pod(owner: Object, template: Object, name: str) -> Object:
    """Return the pod that a template describes; ``name`` is one that ``pod_name`` returned."""
    meta = template.get("metadata", {})
    copied = {part: meta[part] for part in ("labels", "annotations", "finalizers") if meta.get(part)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **copied,
            "name": name,
            "generateName": f"{owner['metadata']['name']}-",
            "namespace": owner["metadata"]["namespace"],
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": template["spec"],
    }


def pod_name(owner: Object) -> str:
    """Return a new random name for a pod of this owner."""
    base = f"{owner['metadata']['name']}-"
    return base[:MAX_NAME_BASE] + random_suffix()


def slow_start(count: int) -> Iterable[int]:
    """Yield batch sizes 1, 2, 4 … that add up to ``count``.

    What makes one creation fail (a quota, an invalid template) mostly makes all fail, so only one is tried first.
    """
    size = 1
    while count > 0:
        yield min(size, count)
        count -= size
        size *= 2


class PodControl:
    """Pods of the owners of one kind. One instance serves all workers of a controller; it is thread-safe."""

    def __init__(self, client: Client, recorder: EventRecorder) -> None:
        self.client = client
        self.recorder = recorder
        self.expectations = Expectations()
        self._lock = threading.Lock()
        self._unknown: defaultdict[str, dict[str, Call]] = defaultdict(dict)

    # What the watch has shown

    def observed(self, owner_key: str, old: Object | None, new: Object | None) -> None:
        """Note a change to one of the owner's pods; call this from the pods' event handler."""
        if old is None:
            self.expectations.creation_seen(owner_key)
        pod = new if new is not None else old
        if pod is not None and (new is None or pod["metadata"].get("deletionTimestamp")):
            self.expectations.deletion_seen(owner_key, pod["metadata"]["uid"])

    def settle(self, owner_key: str) -> bool:
        """Repeat the calls whose outcome is unknown. Return True if the cache shows all that was asked for.

        Raises the first error if a repeated call fails again.
        """
        with self._lock:
            calls = dict(self._unknown.get(owner_key, {}))
        if errors := self._run(list(calls.values())):
            raise errors[0]
        return self.expectations.satisfied(owner_key)

    def forget(self, owner_key: str) -> None:
        """Drop what is known of an owner that is gone."""
        self.expectations.forget(owner_key)
        with self._lock:
            self._unknown.pop(owner_key, None)

    # Creating and deleting

    def create(self, owner: Object, template: Object, count: int) -> None:
        """Create ``count`` pods in growing batches. After an error no further batch begins, and it is raised."""
        owner_key = key(owner)
        self.expectations.expect_creations(owner_key, count)
        left = count
        for size in slow_start(count):
            errors = self._run([self._creation(owner, template) for _ in range(size)])
            left -= size
            if errors:
                for _ in range(left):
                    self.expectations.creation_seen(owner_key)
                raise errors[0]

    def delete(self, owner: Object, pods: Sequence[Object]) -> None:
        """Delete these pods in parallel. Raises the first error after all were tried."""
        self.expectations.expect_deletions(key(owner), [pod["metadata"]["uid"] for pod in pods])
        if errors := self._run([self._deletion(owner, pod) for pod in pods]):
            raise errors[0]

    def adopt(self, owner: Object, pod: Object) -> bool:
        """Set the controllerRef of an orphan. Return False if the pod is gone."""
        return self._patch(pod, adoption_patch(owner, pod))

    def release(self, owner: Object, pod: Object) -> None:
        """Remove the controllerRef. A pod that is gone, or has lost the reference already, is no error."""
        with suppress(Invalid):
            self._patch(pod, release_patch([owner["metadata"]["uid"]], pod["metadata"]["uid"]))

    def _patch(self, pod: Object, patch: Object) -> bool:
        try:
            self.client.patch(PODS, pod["metadata"]["name"], pod["metadata"]["namespace"], patch, type="strategic")
        except NotFound:
            return False
        return True

    # Calls that can be repeated

    def _creation(self, owner: Object, template: Object) -> Call:
        pod = new_pod(owner, template, pod_name(owner))
        what = pod["metadata"]["name"]

        def call() -> None:
            try:
                self._create(owner, pod)
            except ApiError as error:
                if outcome_unknown(error):
                    self._remember(key(owner), what, call)
                    raise
                self._remember(key(owner), what, None)
                self.expectations.creation_seen(key(owner))
                if namespace_terminating(error):
                    return
                self.recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {error}")
                raise
            self._remember(key(owner), what, None)
            self.recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")

        return call

    def _create(self, owner: Object, pod: Object) -> None:
        """Create the pod. If the name is taken by another owner's pod, change it in ``pod`` and try again."""
        for _ in range(NAME_TRIES):
            try:
                self.client.create(PODS, pod)
                return
            except AlreadyExists:
                if self._is_ours(owner, pod["metadata"]["name"]):
                    return
                pod["metadata"]["name"] = pod_name(owner)
        raise AlreadyExists(f"no free name for a pod of {key(owner)} in {NAME_TRIES} tries")

    def _is_ours(self, owner: Object, name: str) -> bool:
        pod = self.client.find(PODS, name, owner["metadata"]["namespace"])
        reference = controller_of(pod) if pod else None
        return reference is not None and reference["uid"] == owner["metadata"]["uid"]

    def _deletion(self, owner: Object, pod: Object) -> Call:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]

        def call() -> None:
            try:
                self.client.delete(PODS, name, pod["metadata"]["namespace"], uid=uid)
            except ApiError as error:
                if outcome_unknown(error):
                    self._remember(key(owner), uid, call)
                    raise
                self._remember(key(owner), uid, None)
                self.expectations.deletion_seen(key(owner), uid)
                if isinstance(error, NotFound | Conflict):
                    return
                self.recorder.event(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
                raise
            self._remember(key(owner), uid, None)
            self.recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")

        return call

    def _remember(self, owner_key: str, what: str, call: Call | None) -> None:
        with self._lock:
            if call is not None:
                self._unknown[owner_key][what] = call
            elif owner_key in self._unknown:
                self._unknown[owner_key].pop(what, None)

    def _run(self, calls: Sequence[Call]) -> list[ApiError]:
        """Make the calls in parallel; return their errors."""
        outcomes = in_parallel([partial(_error_of, call) for call in calls], PARALLEL)
        return [error for error in outcomes if error is not None]


def _error_of(call: Call) -> ApiError | None:
    try:
        call()
    except ApiError as error:
        return error
    return None
