"""The ``mini-minishift`` command: it becomes a process that the user's PYTHONPATH does not disturb (``run.py``)."""

import os
import sys

from mini_minishift.run import isolated


def main() -> None:
    argv, environment = isolated("mini_minishift.cli", *sys.argv[1:])
    os.execve(argv[0], argv, {**os.environ, **environment})
