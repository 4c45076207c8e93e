"""Build the three images of a cluster from files of this machine; no image registry is asked.

    sandbox   holds a pod's network namespace: one sleeping process (upstream's "pause")
    busybox   shell and small tools, for ``kubectl run`` and ``kubectl exec``
    sise      the sample app: busybox's layer and, above it, Python with the few modules that it uses

They are written as one ``docker load`` archive. The same files give the same bytes: entries are sorted, the owner is
root, the time is zero. Each image has a label with a key derived from what it was built of, so that the next ``up``
sees within a millisecond whether they must be built again.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

from cluster import pythonfiles
from cluster.docker import Engine
from cluster.errors import ClusterError
from cluster.settings import BUSYBOX_IMAGE, REPOSITORY, SANDBOX_IMAGE, SISE_IMAGE

SISE = REPOSITORY / "sample-app" / "sise.py"
KEY_LABEL = "mini-minishift.key"
NOBODY = "65534:65534"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

# If a pod's containers share their process namespace, this is process 1 there. A shell that waits also reaps the
# orphans, which become its children; until one ends, it sleeps in the kernel.
SLEEP = ["/bin/sh", "-c", "sleep infinity & wait"]


class ImageSpec(NamedTuple):
    name: str
    layers: list[bytes]
    config: dict[str, Any]


def layer(files: dict[str, bytes], links: dict[str, str], folders: dict[str, int]) -> bytes:
    """Return a file system layer as tar; files are executable (they are small and few), owner root, time zero."""
    entries: dict[str, tuple[tarfile.TarInfo, bytes]] = {}

    def add(path: str, kind: bytes, mode: int, data: bytes = b"", target: str = "") -> None:
        info = tarfile.TarInfo(path.lstrip("/"))
        info.type, info.mode, info.size, info.linkname = kind, mode, len(data), target
        entries[info.name] = (info, data)

    for path in [*files, *links, *folders]:
        for parent in Path(path.lstrip("/")).parents:
            if str(parent) != "." and str(parent) not in entries:
                add(str(parent), tarfile.DIRTYPE, 0o755)
    for path, mode in folders.items():
        add(path, tarfile.DIRTYPE, mode)
    for path, target in links.items():
        add(path, tarfile.SYMTYPE, 0o777, target=target)
    for path, data in files.items():
        add(path, tarfile.REGTYPE, 0o755, data)
    return _tar([entries[name] for name in sorted(entries)])


def _tar(entries: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def archive(images: list[ImageSpec], key: str) -> bytes:
    """Return a ``docker load`` archive of the images. A layer that several share is in it once."""
    contents: dict[str, bytes] = {}
    manifest = []
    for image in images:
        digests = [hashlib.sha256(data).hexdigest() for data in image.layers]
        contents |= {f"{digest}.tar": data for digest, data in zip(digests, image.layers, strict=True)}
        config = {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {**image.config, "Labels": {KEY_LABEL: key}},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
        }
        text = json.dumps(config, sort_keys=True).encode()
        name = f"{hashlib.sha256(text).hexdigest()}.json"
        contents[name] = text
        manifest.append({"Config": name, "RepoTags": [image.name], "Layers": [f"{digest}.tar" for digest in digests]})
    contents["manifest.json"] = json.dumps(manifest).encode()
    entries = []
    for name, data in sorted(contents.items()):
        info = tarfile.TarInfo(name)
        info.size = len(data)
        entries.append((info, data))
    return _tar(entries)


def busybox() -> Path:
    found = shutil.which("busybox")
    if found is None:
        raise ClusterError("busybox is missing: apt-get install busybox-static")
    return Path(found).resolve()


def busybox_layer(binary: Path) -> bytes:
    """Return a layer with busybox, a link for each of its tools, and the files that programs expect of any system."""
    tools = subprocess.run([binary, "--list-full"], check=True, capture_output=True, text=True).stdout.split()
    files = {
        "/bin/busybox": binary.read_bytes(),
        "/etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
        "/etc/group": b"root:x:0:\nnogroup:x:65534:\n",
    }
    links = {f"/{tool}": "/bin/busybox" for tool in tools if tool != "bin/busybox"}
    # busybox also lists linuxrc, the name of an initial RAM disk's first program.
    links.pop("/linuxrc", None)
    return layer(files, links, {"/tmp": 0o1777, "/root": 0o700, "/proc": 0o755, "/sys": 0o755, "/dev": 0o755})


def build() -> list[ImageSpec]:
    base = busybox_layer(busybox())
    python, files = pythonfiles.runtime_files(SISE, "/app/sise.py")
    path = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    links = {} if str(python) == "/usr/bin/python3" else {"/usr/bin/python3": str(python)}
    return [
        # It has nothing to save, and process 1 ignores SIGTERM without a handler, so it is killed at once.
        ImageSpec(SANDBOX_IMAGE, [base], {"Entrypoint": SLEEP, "Env": path, "StopSignal": "SIGKILL"}),
        ImageSpec(BUSYBOX_IMAGE, [base], {"Cmd": ["sh"], "Env": path}),
        ImageSpec(
            SISE_IMAGE,
            [base, layer(files, links, {})],
            {
                "Entrypoint": ["/usr/bin/python3", "-I", "-S", "/app/sise.pyc"],
                "Env": path,
                "ExposedPorts": {"9876/tcp": {}},
                "User": NOBODY,
                "WorkingDir": "/",
            },
        ),
    ]


def key() -> str:
    """Return a key that changes if the images would: with the program, this code, the interpreter or busybox.

    No large file is read for it.
    """
    digest = hashlib.sha256()
    for source in (SISE, Path(__file__), Path(pythonfiles.__file__)):
        digest.update(source.read_bytes())
    for binary in (pythonfiles.interpreter(), busybox()):
        facts = binary.stat()
        digest.update(f"{binary.resolve()} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def ensure(engine: Engine) -> bool:
    """Build the images unless the engine has them with the current key; return True if they were built."""
    wanted = key()
    names = (SANDBOX_IMAGE, BUSYBOX_IMAGE, SISE_IMAGE)
    if all((engine.image_labels(name) or {}).get(KEY_LABEL) == wanted for name in names):
        return False
    engine.load_images(archive(build(), wanted))
    return True


def remove(engine: Engine) -> None:
    for name in (SISE_IMAGE, BUSYBOX_IMAGE, SANDBOX_IMAGE):
        engine.remove_image(name)
