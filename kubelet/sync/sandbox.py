"""Create and start a pod's sandbox: the container that holds its network."""

from __future__ import annotations

import logging
import socket
import time
from pathlib import Path

from kubelet.container import config
from kubelet.model import podspec
from kubelet.model.runtime import RuntimeContainer, RuntimeFailure
from kubelet.pod.state import PodState, StartError
from kubelet.sync.deps import Deps
from machinery.errors import ApiError
from machinery.objects import Object

log = logging.getLogger(__name__)

# A host port may still be taken by a pod that is about to go, so the first tries come quickly.
FIRST_RETRY, LONGEST_RETRY = 0.5, 10.0


class SandboxStart:
    """Creates and starts sandboxes, as CreateSandbox asks for."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    def create(self, state: PodState, attempt: int) -> RuntimeContainer | None:
        """Create and start a sandbox. Return None if that fails, and note the error and the time of the next try."""
        pod, events = state.pod, self._deps.events
        if attempt > 0:
            events.pod(pod, "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        try:
            found = self._start(pod, attempt)
        except (RuntimeFailure, OSError, ApiError) as error:
            log.warning("Sandbox of pod %s: %s", podspec.path(pod), error)
            events.pod(pod, "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            delay = min(FIRST_RETRY * 2.0**state.sandbox_failures, LONGEST_RETRY)
            state.sandbox_failures += 1
            state.sandbox_error = StartError("FailedCreatePodSandBox", str(error), time.time() + delay)
            return None
        state.sandbox_error, state.sandbox_failures = None, 0
        return found

    def _start(self, pod: Object, attempt: int) -> RuntimeContainer:
        deps = self._deps
        runtime_class = pod["spec"].get("runtimeClassName")
        runtime = deps.sources.runtime_handler(runtime_class) if runtime_class else ""
        wanted = config.sandbox_config(pod, attempt, deps.sandbox_image, deps.mounts.dns, runtime)
        sandbox_id = deps.runtime.create_sandbox(wanted)
        try:
            deps.runtime.start(sandbox_id)
            found = deps.runtime.inspect(sandbox_id)
            if found is None or not found.running:
                raise RuntimeFailure("the sandbox container ended at once; look at the image given as sandbox")
            self.complete(pod, found)
        except (RuntimeFailure, OSError):
            deps.runtime.remove(sandbox_id)
            raise
        return found

    def complete(self, pod: Object, sandbox: RuntimeContainer) -> None:
        """Set up what the pod's containers need of a running sandbox. That it is complete shows by resolv.conf."""
        if not podspec.is_host_network(pod):
            enable_hairpin(sandbox.pid)
        self._deps.mounts.write_names(pod, sandbox.ip)


def enable_hairpin(sandbox_pid: int) -> None:
    """Let a pod reach itself through its Service.

    Its packet leaves through the sandbox's veth, the proxy's rules send it back to the pod, and it must leave the
    bridge through the port that it came in by. A bridge does that only for ports in hairpin mode (upstream's bridge
    plugin sets it too). The sandbox's own /sys tells which interface of the host is the other end of its veth.
    """
    try:
        peer = int(Path(f"/proc/{sandbox_pid}/root/sys/class/net/eth0/iflink").read_text())
        Path(f"/sys/class/net/{socket.if_indextoname(peer)}/brport/hairpin_mode").write_text("1")
    except (OSError, ValueError) as error:
        message = "No hairpin mode for the sandbox with pid %d (%s): its pod may not reach itself through a Service"
        log.warning(message, sandbox_pid, error)
