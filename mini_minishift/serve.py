"""The process behind ``KubeServer``: a standalone server for the program that started it, and that it ends with.

It says on standard output, in one line of JSON, when it is ready, and ends when its standard input does or when the
other process is gone: two signs, since a fork of that one may hold the pipe open. Logs go to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import sys
import threading
from pathlib import Path
from typing import TextIO

from cluster.errors import ClusterError
from cluster.progress import Progress
from machinery.component import setup_logging
from mini_minishift.standalone import ALL, MEMORY, STORES, Options, Ready, Standalone


def main() -> int:
    """Until the caller has enough."""
    parser = argparse.ArgumentParser("mini_minishift.serve", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--store", choices=STORES, default=MEMORY)
    parser.add_argument("--etcd", default="etcd")
    parser.add_argument("--controllers", default=ALL)
    given = vars(parser.parse_args())
    setup_logging()
    watcher = threading.Thread(target=end_with_caller, args=(os.getppid(),), name="caller", daemon=True)
    watcher.start()
    with Path(os.devnull).open("w") as nowhere:
        try:
            Standalone(Options(**given), Progress(nowhere), announce).run()
        except ClusterError as error:
            say({"error": str(error)})
            return 1
    return 0


def announce(ready: Ready) -> None:
    say(ready._asdict())


def say(document: object, output: TextIO = sys.stdout) -> None:
    output.write(json.dumps(document) + "\n")
    output.flush()


def end_with_caller(caller: int) -> None:
    """Asks this process to end once the caller has closed the pipe, or has ended."""
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    try:
        poll.register(os.pidfd_open(caller), select.POLLIN)
    except ProcessLookupError:
        pass  # it has ended already
    else:
        poll.poll()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    code = main()
    # Not through the interpreter's end, which would wait for threads that wait for clients.
    sys.stderr.flush()
    os._exit(code)
