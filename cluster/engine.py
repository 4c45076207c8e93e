"""Start a Docker engine if none answers, and stop it again if we started it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from cluster.docker import Engine, EngineError
from cluster.processes import Process, end, start_ticks
from cluster.progress import log_end
from cluster.settings import STATE_VARIABLE

START_SECONDS = 60.0


def running_systemd() -> bool:
    """Return True if systemd runs this machine, as sd_booted(3) finds out."""
    return Path("/run/systemd/system").is_dir()


def start(engine: Engine, log: Path) -> Process | None:
    """Start dockerd and wait until it answers. Return its process, None if it is a service of systemd."""
    if running_systemd():
        subprocess.run(["systemctl", "start", "docker.service"], check=True, capture_output=True)
        process = None
    else:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if name != STATE_VARIABLE}
        with log.open("ab") as output:
            process = subprocess.Popen(
                ["dockerd", f"--host=unix://{engine.path}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
            )
    deadline = time.monotonic() + START_SECONDS
    while engine.version() is None:
        if process is not None and process.poll() is not None:
            raise EngineError(f"dockerd exited with {process.returncode}; the end of {log}:\n{log_end(log)}")
        if time.monotonic() > deadline:
            raise EngineError(f"dockerd does not answer on {engine.path} after {START_SECONDS:.0f} s: see {log}")
        time.sleep(0.05)  # The socket exists before the engine serves, so there is no event to wait for.
    return Process(process.pid, start_ticks(process.pid) or 0) if process else None


def stop(engine: Engine, process: Process) -> str:
    """Stop the engine that we started, unless containers of others run on it; return what was done, for the user."""
    if engine.containers(running_only=True):
        return "goes on: containers that are not ours run on it"
    end([process], seconds=30)
    return "the engine that we started is stopped"
