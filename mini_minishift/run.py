"""Run a module of ours in a process that the user's setup does not disturb: ``python -E -P run.py MODULE [ARGUMENT…]``.

Our folders come first on its path; the current folder and PYTHONPATH are not on it. MINI_MINISHIFT_PATH, which a parent
sets to its own path, comes last, so that what the parent can import (our dependencies in an unusual place) is found.
"""

import os
import runpy
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# After installation, our folders are inside the package; in the repository they are beside it.
ROOT = HERE if (HERE / "apiserver").is_dir() else HERE.parent
PATH_VARIABLE = "MINI_MINISHIFT_PATH"


def isolated(module: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Return the command line of such a process, and the variables to add to its environment."""
    argv = [sys.executable, "-E", "-P", str(HERE / "run.py"), module, *arguments]
    return argv, {
        PATH_VARIABLE: os.pathsep.join(entry for entry in sys.path if entry),
        # Otherwise every thread would get a malloc arena of its own, and the API server has dozens of threads.
        "MALLOC_ARENA_MAX": "2",
    }


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT)]
    sys.path += os.environ.pop(PATH_VARIABLE, "").split(os.pathsep)
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
