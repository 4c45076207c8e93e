"""Starts a Docker engine where none answers, and stops it again if it was we who started it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from cluster.docker import DockerError, Engine
from cluster.processes import Process, end, start_ticks
from cluster.progress import last_words
from cluster.settings import STATE_VARIABLE

START_SECONDS = 60.0


def running_systemd() -> bool:
    """What sd_booted(3) checks."""
    return Path("/run/systemd/system").is_dir()


def start(engine: Engine, log: Path) -> int:
    """Starts dockerd and waits until it answers; returns its process id if it is ours to stop, else 0."""
    if running_systemd():
        subprocess.run(["systemctl", "start", "docker.service"], check=True, capture_output=True)
        pid = 0
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
        pid = process.pid
    deadline = time.monotonic() + START_SECONDS
    while engine.version() is None:
        if pid and process.poll() is not None:
            raise DockerError(
                f"dockerd exited with {process.returncode}; its last words, from {log}:\n{last_words(log)}"
            )
        if time.monotonic() > deadline:
            raise DockerError(f"dockerd does not answer on {engine.path} after {START_SECONDS:.0f} s: see {log}")
        time.sleep(0.05)  # its socket appears before it serves: there is no event to wait for
    return pid


def stop(pid: int) -> None:
    ticks = start_ticks(pid)
    if ticks is not None and (Path("/proc") / str(pid) / "comm").read_text().strip() == "dockerd":
        end([Process(pid, ticks)], seconds=30)
