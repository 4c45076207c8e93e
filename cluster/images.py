"""The three images of a cluster, built from what is on the machine: no image registry is ever asked.

    sandbox   holds a pod's network namespace: one sleeping process (upstream's "pause")
    busybox   shell and small tools, for ``kubectl run`` and ``kubectl exec``
    sise      the sample app: busybox's layer and, above it, Python with the few modules that it uses

They are written as one ``docker load`` archive. It is the same bytes for the same files: entries sorted, owner root,
time zero. A label carries a key of what went in, so that the next ``up`` sees in a millisecond that all is there.
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

# A shell that waits reaps whatever becomes its child: the orphans of a pod that shares its process namespace, where
# this is process 1. It sleeps in the kernel until then.
SLEEP = ["/bin/sh", "-c", "sleep infinity & wait"]


class ImageSpec(NamedTuple):
    name: str
    layers: list[bytes]
    config: dict[str, Any]


def layer(files: dict[str, bytes], links: dict[str, str], folders: dict[str, int]) -> bytes:
    """Return a file system layer as tar: files executable (they are small and few), owner root, time zero."""
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
    """Return a ``docker load`` archive of the images; layers that they share are in it once."""
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
    """Return the static busybox, a link for each tool of it, and the files that programs expect of any system."""
    tools = subprocess.run([binary, "--list-full"], check=True, capture_output=True, text=True).stdout.split()
    files = {
        "/bin/busybox": binary.read_bytes(),
        "/etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
        "/etc/group": b"root:x:0:\nnogroup:x:65534:\n",
    }
    links = {f"/{tool}": "/bin/busybox" for tool in tools if tool != "bin/busybox"}
    # busybox --list-full says linuxrc too, the name of an initial RAM disk's first program.
    links.pop("/linuxrc", None)
    return layer(files, links, {"/tmp": 0o1777, "/root": 0o700, "/proc": 0o755, "/sys": 0o755, "/dev": 0o755})


def build() -> list[ImageSpec]:
    base = busybox_layer(busybox())
    python, files = pythonfiles.runtime_files(SISE, "/app/sise.py")
    path = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    links = {} if str(python) == "/usr/bin/python3" else {"/usr/bin/python3": str(python)}
    return [
        # Killed outright: it holds nothing that could be saved, and process 1 ignores SIGTERM without a handler.
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
    """Changes when the images would: with the program, the recipe, the interpreter or busybox. Reads no large file."""
    digest = hashlib.sha256()
    for source in (SISE, Path(__file__), Path(pythonfiles.__file__)):
        digest.update(source.read_bytes())
    for binary in (pythonfiles.interpreter(), busybox()):
        facts = binary.stat()
        digest.update(f"{binary.resolve()} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def ensure(engine: Engine) -> bool:
    """Build the images unless the engine has them as they would be built; return whether it built."""
    wanted = key()
    names = (SANDBOX_IMAGE, BUSYBOX_IMAGE, SISE_IMAGE)
    if all((engine.image_labels(name) or {}).get(KEY_LABEL) == wanted for name in names):
        return False
    engine.load_images(archive(build(), wanted))
    return True


def remove(engine: Engine) -> None:
    for name in (SISE_IMAGE, BUSYBOX_IMAGE, SANDBOX_IMAGE):
        engine.remove_image(name)
