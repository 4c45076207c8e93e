"""Find the files of this machine that a small Python program needs in an otherwise empty image.

The interpreter itself imports the program, and tells which files the modules came from; ``ldd`` tells the shared
libraries of the interpreter and of each extension module. Files keep their paths, so that the interpreter finds its
library in the image as it does on the machine, whether it is Debian's or one of pyenv.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

# Debian's interpreter is a third of the size of an unstripped one of pyenv.
PREFERRED = Path("/usr/bin/python3")

# Runs in the image's interpreter: names the modules, and compiles them, as only that very version can. The code goes
# in with an unchecked hash, so that nothing is compared with its source at start.
_PROBE = """
import importlib.util, json, os, sys, sysconfig
from importlib._bootstrap_external import _code_to_hash_pyc as to_pyc
def pyc(path, name):
    code = compile(open(path, 'rb').read(), name, 'exec', dont_inherit=True)
    return bytes(to_pyc(code, bytes(8), False)).hex()
program, name = sys.argv[1], sys.argv[2]
found, extensions = {}, []
spec = importlib.util.spec_from_file_location('program', program)
spec.loader.exec_module(importlib.util.module_from_spec(spec))
import encodings.ascii, encodings.latin_1
for module in list(sys.modules.values()):
    path = getattr(module, '__file__', None)
    if path and path.endswith('.py') and path != program:
        found[path + 'c'] = pyc(path, path)
    elif path and path.endswith('.so'):
        extensions.append(path)
print(json.dumps({'executable': os.path.realpath(sys.executable), 'stdlib': sysconfig.get_path('stdlib'),
    'modules': found, 'extensions': extensions, 'program': pyc(program, name)}))
"""


def interpreter() -> Path:
    return PREFERRED if PREFERRED.exists() else Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def libraries(ldd_output: str) -> list[Path]:
    """Return the paths in what ``ldd`` prints."""
    found = (re.match(r"(/[^ ]+) \(0x", line.rpartition("=> ")[2].strip()) for line in ldd_output.splitlines())
    return [Path(match[1]) for match in found if match]


def runtime_files(program: Path, name: str) -> tuple[Path, dict[str, bytes]]:
    """Return the interpreter's path, and every file by its path in the image; the program is ``name`` + "c"."""
    executable = interpreter()
    probe = subprocess.run(
        [executable, "-I", "-S", "-c", _PROBE, program, name], check=True, capture_output=True, text=True
    )
    facts = json.loads(probe.stdout)
    binaries = [Path(facts["executable"]), *map(Path, facts["extensions"])]
    files = {str(path): path.read_bytes() for path in binaries}
    ldd = subprocess.run(["ldd", *binaries], check=True, capture_output=True, text=True).stdout
    for library in libraries(ldd):
        files[str(library)] = library.read_bytes()
    for path, code in facts["modules"].items():
        files[path] = bytes.fromhex(code)
    # The interpreter takes the folder that has this file as its library (frozen into it, os itself is never read from
    # here), and would print a warning without the folder of extension modules.
    files[f"{facts['stdlib']}/os.pyc"] = b""
    files[f"{facts['stdlib']}/lib-dynload/.keep"] = b""
    files[name] = program.read_bytes()
    files[name + "c"] = bytes.fromhex(facts["program"])
    return Path(facts["executable"]), files
