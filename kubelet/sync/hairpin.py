"""Lets a pod reach itself through its Service.

Its packet leaves through the sandbox's veth, is sent back to the pod by the proxy's rules, and would have to leave the
bridge through the port that it came in by. A bridge does that only for ports in hairpin mode (upstream's kubenet and
bridge plugin set it too).
"""

from __future__ import annotations

import logging
import socket
from pathlib import Path

log = logging.getLogger(__name__)


def enable(sandbox_pid: int, interface: str = "eth0") -> None:
    """The sandbox's own /sys tells which interface of the host is the other end of its cable."""
    try:
        peer = int(Path(f"/proc/{sandbox_pid}/root/sys/class/net/{interface}/iflink").read_text())
        name = socket.if_indextoname(peer)
        Path(f"/sys/class/net/{name}/brport/hairpin_mode").write_text("1")
    except (OSError, ValueError) as error:
        log.warning(
            "No hairpin mode for the sandbox with pid %d (%s): its pod may not reach itself through a Service",
            sandbox_pid,
            error,
        )
