"""postStart and preStop hooks: one call each, in the background; only what they come to is brought back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from kubelet.model.runtime import ContainerRuntime
from kubelet.probes import handlers
from kubelet.probes.handlers import Outcome, Target

POST_START_TIMEOUT = 120.0


def run(runtime: ContainerRuntime, target: Target, hook: Mapping[str, Any], timeout: float) -> Outcome:
    """An HTTP hook succeeds with any answer below 400, a command with exit code 0, a sleep always."""
    if "sleep" in hook:
        time.sleep(min(float((hook["sleep"] or {}).get("seconds") or 0), timeout))
        return Outcome(True)
    if "tcpSocket" in hook and "httpGet" not in hook and "exec" not in hook:
        return Outcome(False, "tcpSocket is not a lifecycle handler any more: use exec or httpGet")
    return handlers.run(runtime, target, hook, timeout)
