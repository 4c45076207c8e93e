"""What importing one lower module of the API server loads of ours, in a fresh interpreter: a store, a kind, the verbs.

An import that grows shows that a lower room has begun to know of a higher one. Then move what is needed down instead.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

OURS = ("apiserver", "controllers", "kubelet", "proxy", "cluster", "machinery", "mini_minishift")
# Packages are not counted: their __init__ is a map of the room.
_PRINT_LOADED = """
import importlib, sys
importlib.import_module(sys.argv[1])
loaded = [name for name, module in sys.modules.items() if not hasattr(module, "__path__")]
print(*sorted(name for name in loaded if name.partition(".")[0] in sys.argv[2:]), sep="\\n")
"""


@pytest.mark.parametrize(
    ("module", "most"),
    [
        ("apiserver.storage.etcd", 9),
        ("apiserver.storage.cache", 12),
        ("apiserver.kinds.replicationcontrollers", 28),
        ("apiserver.registry.rest", 47),
    ],
)
def test_a_lower_room_loads_few_modules(module: str, most: int) -> None:
    command = [sys.executable, "-c", _PRINT_LOADED, module, *OURS]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert module in loaded
    assert len(loaded) <= most, f"import {module} loads {len(loaded)} modules:\n" + "\n".join(loaded)
