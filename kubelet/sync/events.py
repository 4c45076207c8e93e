"""Events on pods and their containers, as ``kubectl describe pod`` shows them."""

from __future__ import annotations

from kubelet.model import podspec
from machinery.events import EventRecorder
from machinery.objects import Object


class PodEvents:
    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder

    def pod(self, pod: Object, type: str, reason: str, message: str) -> None:
        self._recorder.event(pod, type, reason, message)

    def container(self, pod: Object, name: str, type: str, reason: str, message: str) -> None:
        """With the field path by which upstream says which container is meant."""
        init = name in {spec["name"] for spec in podspec.init_containers(pod)}
        path = f"spec.{'initContainers' if init else 'containers'}{{{name}}}"
        self._recorder.event(pod, type, reason, message, field_path=path)
