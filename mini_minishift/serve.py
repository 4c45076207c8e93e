"""The process that ``KubeServer`` starts: a standalone server, which ends with the program that started it.

When it is ready, it writes one line of JSON to standard output. It ends when its standard input is closed or the other
process has ended; both are watched, because a fork of that process may hold the pipe open. Logs go to standard error.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import select
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import TextIO

from cluster.errors import ClusterError
from cluster.progress import Progress
from machinery.component import setup_logging
from machinery.extras import MissingExtra
from mini_minishift.interrupts import Interrupts
from mini_minishift.standalone import ALL, MEMORY, STORES, Ready, Standalone, StandaloneOptions

log = logging.getLogger("serve")


def main() -> int:
    """Serve until the caller ends; return the exit status."""
    parser = argparse.ArgumentParser("mini_minishift.serve", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--store", choices=STORES, default=MEMORY)
    parser.add_argument("--etcd", default="etcd")
    parser.add_argument("--controllers", default=ALL)
    parser.add_argument("--temporary", action="store_true", help="nobody misses the folder when the caller is gone")
    given = vars(parser.parse_args())
    temporary = given.pop("temporary")
    setup_logging()
    interrupts = Interrupts()
    interrupts.install()
    caller_is_gone = threading.Event()
    watching = (os.getppid(), caller_is_gone)
    threading.Thread(target=end_with_caller, args=watching, name="caller", daemon=True).start()
    with Path(os.devnull).open("w") as nowhere:
        try:
            Standalone(StandaloneOptions(**given), Progress(nowhere), announce, interrupts).run()
        except (ClusterError, MissingExtra) as error:
            say({"error": str(error)})
            return 1
        except KeyboardInterrupt:
            return 1  # The signal came before the server served.
        finally:
            interrupts.ignore()
            if temporary and caller_is_gone.is_set():
                shutil.rmtree(given["folder"], ignore_errors=True)
    return 0


def announce(ready: Ready) -> None:
    say(ready._asdict())


def say(document: object, output: TextIO = sys.stdout) -> None:
    output.write(json.dumps(document) + "\n")
    output.flush()


def end_with_caller(caller: int, gone: threading.Event) -> None:
    """End this process by SIGTERM once the caller has closed the pipe, or has ended."""
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    try:
        poll.register(os.pidfd_open(caller), select.POLLIN)
    except OSError as error:
        # In a sandbox that does not let us watch processes, the pipe alone is watched. It is closed if the caller has
        # ended already.
        log.info("cannot watch process %d, only its pipe: %s", caller, error)
    poll.poll()
    gone.set()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    code = main()
    # The interpreter's own end would wait for threads, which wait for clients.
    sys.stderr.flush()
    os._exit(code)
