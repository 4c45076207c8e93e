"""Runs a module of ours in a process that nothing of a user's disturbs: ``python -E -P run.py MODULE [ARGUMENT…]``.

Our folders come first on its path; the current folder and PYTHONPATH are not on it. MINI_MINISHIFT_PATH, which a parent
may set to its own path, comes last: what the parent can import, such as our dependencies in an unusual place, is found.
"""

import os
import runpy
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Installed, our folders are inside the package; in the repository they stand beside it.
ROOT = HERE if (HERE / "apiserver").is_dir() else HERE.parent
PATH_VARIABLE = "MINI_MINISHIFT_PATH"


def find_ours() -> None:
    """Makes our folders importable, before any of the same name."""
    sys.path.insert(0, str(ROOT))


if __name__ == "__main__":
    find_ours()
    sys.path += [entry for entry in os.environ.pop(PATH_VARIABLE, "").split(os.pathsep) if entry]
    module = sys.argv.pop(1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
