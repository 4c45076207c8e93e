"""Get a container's image onto the node, as its pull policy demands, with upstream's events."""

from __future__ import annotations

import logging
import time

from kubelet.model import images, podspec
from kubelet.model.backoff import after_retry
from kubelet.model.images import credentials
from kubelet.model.runtime import RuntimeFailure, RuntimeImage, RuntimeUnavailable
from kubelet.pod.state import PodState, Pull
from kubelet.sync.deps import Deps
from machinery.errors import ApiError
from machinery.objects import Object

log = logging.getLogger(__name__)


class ImageRefused(Exception):
    """The image is refused without a pull: the reason and message of the waiting state."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ImagePuller:
    """Finds the image of a container, or begins to pull it in the background."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    def get(self, state: PodState, container: podspec.Spec) -> RuntimeImage | None:
        """Return the image to start from, None if it is being pulled first. Raises ImageRefused."""
        name, reference, events = container["name"], str(container["image"]), self._deps.events
        if complaint := images.complaint(reference):
            events.container(state.pod, name, "Warning", "InspectFailed", complaint)
            raise ImageRefused("InvalidImageName", complaint)
        policy, found = images.policy(container), self._deps.images.get(reference)
        pull = state.pulls.get(name)
        if found and pull and pull.done and pull.image == reference:
            return found  # the pull has recorded its event
        if found and policy != "Always":
            message = f'Container image "{reference}" already present on machine'
            events.container(state.pod, name, "Normal", "Pulled", message)
            return found
        if policy == "Never":
            message = f'Container image "{reference}" is not present with pull policy of Never'
            events.container(state.pod, name, "Warning", "ErrImageNeverPull", message)
            raise ImageRefused("ErrImageNeverPull", message)
        self._begin(state, name, reference)
        return None

    def announce_back_off(self, state: PodState, name: str) -> None:
        pull, events = state.pulls[name], self._deps.events
        pull.told = True
        events.container(state.pod, name, "Normal", "BackOff", f'Back-off pulling image "{pull.image}"')
        events.container(state.pod, name, "Warning", "Failed", "Error: ImagePullBackOff")

    def _begin(self, state: PodState, name: str, reference: str) -> None:
        pod = state.pod
        state.pulls[name] = Pull(reference)
        state.errors.pop(name, None)
        self._deps.events.container(pod, name, "Normal", "Pulling", f'Pulling image "{reference}"')
        self._deps.pool.submit(lambda: self._pull(pod, name, reference))

    def _pull(self, pod: Object, name: str, reference: str) -> None:
        deps, began = self._deps, time.monotonic()
        try:
            deps.runtime.pull(reference, credentials(reference, self._secrets(pod)))
            deps.images.changed()
            image = deps.images.get(reference)
        except (RuntimeFailure, RuntimeUnavailable, ApiError, ValueError) as error:
            message = str(error)
            deps.events.container(pod, name, "Warning", "Failed", f'Failed to pull image "{reference}": {message}')
            deps.events.container(pod, name, "Warning", "Failed", "Error: ErrImagePull")
            deps.tell(podspec.uid(pod), lambda state: _failed(state, name, reference, message))
            return
        took = f"{time.monotonic() - began:.3f}s"
        size = image.size if image else 0
        message = f'Successfully pulled image "{reference}" in {took} ({took} including waiting).'
        deps.events.container(pod, name, "Normal", "Pulled", f"{message} Image size: {size} bytes.")
        deps.tell(podspec.uid(pod), lambda state: _done(state, name))

    def _secrets(self, pod: Object) -> list[Object]:
        namespace = pod["metadata"]["namespace"]
        names = [entry.get("name", "") for entry in pod["spec"].get("imagePullSecrets", [])]
        found = [self._deps.sources.lookup("secret", namespace, name) for name in names]
        return [secret for secret in found if secret]


def _failed(state: PodState, name: str, reference: str, message: str) -> None:
    pull = state.pulls.get(name)
    if pull is None:
        return
    now = time.time()
    entry = state.pull_backoffs[name] = after_retry(state.pull_backoffs.get(name), now, now)
    pull.running, pull.message = False, message
    pull.failed_at, pull.retry_at = now, now + entry.delay
    text = "Pod %s, container %s: could not pull %s: %s; next try in %.0f s"
    log.warning(text, podspec.path(state.pod), name, reference, message, entry.delay)


def _done(state: PodState, name: str) -> None:
    if pull := state.pulls.get(name):
        pull.running, pull.done = False, True
