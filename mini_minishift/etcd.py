"""A real etcd for the standalone server, on a unix socket in its folder. It ends when the server does, in any way."""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from cluster.components import etcd as component
from cluster.errors import ClusterError
from cluster.progress import log_end
from cluster.settings import State

START_SECONDS = 30.0
STOP_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


class Etcd:
    """An etcd process. It starts when this object is created, because nothing else takes as long."""

    def __init__(self, program: str, root: Path) -> None:
        binary = shutil.which(program)
        if binary is None:
            raise ClusterError(
                f"there is no program {program!r} here. Install etcd (Debian: apt-get install etcd-server) "
                "or say where it is; the store in memory needs none"
            )
        wanted = component(State(root))
        folder = Path(wanted.folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in wanted.sockets:  # A killed process leaves them behind.
            (folder / name).unlink(missing_ok=True)
        # Tests write much, and need no data after a crash of the machine.
        arguments = [*wanted.argv[1:], "--unsafe-no-fsync"]
        self.log = folder / "etcd.log"
        # etcd reports by systemd's protocol that it is ready. The address is abstract: a file's path might be too long.
        self._news = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._news.bind("")
        address = "@" + self._news.getsockname()[1:].decode()
        library = ctypes.CDLL(None)  # It must be loaded before the fork.
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [binary, *arguments],
                cwd=folder,
                env={**os.environ, "NOTIFY_SOCKET": address},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C must end the server only, which stops etcd after its own last write.
                preexec_fn=lambda: library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
            )
        # The path is relative to ``root``, the server's current folder: one of a unix socket has at most 107 bytes.
        self.server = f"unix:{State(root).etcd_socket.relative_to(root)}"

    def wait_ready(self) -> None:
        """Wait until etcd serves; raise ClusterError with the end of its log if it ends instead."""
        ended = os.pidfd_open(self._process.pid)
        try:
            readable, _, _ = select.select([self._news.fileno(), ended], [], [], START_SECONDS)
        finally:
            os.close(ended)
        if self._news.fileno() not in readable:
            how = "ended" if readable else f"was not ready within {START_SECONDS:.0f} s"
            raise ClusterError(f"etcd {how}; the end of {self.log}:\n{log_end(self.log)}")

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._news.close()
