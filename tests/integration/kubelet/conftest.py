"""A kubelet against an API server in memory, on the fake runtime or on real Docker.

The API here keeps objects, tells watchers, merges status patches and deletes pods gracefully: as much of an API server
as a kubelet can tell apart. The whole cluster is tested in tests/e2e.
"""

from __future__ import annotations

import copy
import io
import itertools
import shutil
import tarfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fakeruntime import FakeRuntime

from kubelet.agent import Agent, AgentConfig
from kubelet.model.names import ClusterDns
from kubelet.model.runtime import ContainerRuntime, RuntimeImage
from kubelet.node.registration import NodeConfig
from kubelet.runtime.docker import DockerRuntime
from kubelet.volumes import mounting
from machinery import errors
from machinery.client import WatchEvent
from machinery.objects import Object, key, now
from machinery.resources import EVENTS, PODS, Resource
from machinery.stopping import call_on

NODE = "node"
IMAGE = "mini-minishift-test/busybox:1"
SANDBOX = "mini-minishift-test/sandbox:1"
SECONDS = 20.0  # a busy machine is no failure


def is_selected(obj: Object, field_selector: str) -> bool:
    """By name; all pods here are the node's own."""
    field, _, value = field_selector.partition("=")
    return field != "metadata.name" or bool(obj["metadata"]["name"] == value)


class Api:
    """Every method may be called from any thread. Objects handed out are copies."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.objects: dict[Resource, dict[str, Object]] = {}
        self.log: list[tuple[int, Resource, WatchEvent]] = []
        self.away = False
        self.deletions: list[str] = []
        self._versions = itertools.count(1)
        self._version = 0

    # What a kubelet calls

    def get(self, resource: Resource, name: str, namespace: str = "", **_: Any) -> Object:
        with self.changed:
            return copy.deepcopy(self._found(resource, name, namespace))

    def list(self, resource: Resource, namespace: str = "", *, field_selector: str = "", **_: Any) -> Object:
        with self.changed:
            self._check()
            items = [copy.deepcopy(obj) for obj in self.objects.get(resource, {}).values()]
            items = [obj for obj in items if is_selected(obj, field_selector)]
            return {"metadata": {"resourceVersion": str(self._version)}, "items": items}

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str = "",
        field_selector: str = "",
        stop: threading.Event | None = None,
        **_: Any,
    ) -> Iterator[WatchEvent]:
        seen = int(resource_version or 0)
        cancel = call_on(stop, self._wake) if stop else lambda: None
        try:
            while True:
                with self.changed:
                    while not (self.away or self._version > seen or (stop and stop.is_set())):
                        self.changed.wait()
                    if stop and stop.is_set():
                        return
                    self._check()
                    news = [event for version, kind, event in self.log if version > seen and kind == resource]
                    news = [event for event in news if is_selected(event.object, field_selector)]
                    seen = self._version
                yield from copy.deepcopy(news)
        finally:
            cancel()

    def create(self, resource: Resource, obj: Object, namespace: str = "") -> Object:
        obj = copy.deepcopy(obj)
        meta = obj["metadata"]
        meta.setdefault("uid", str(uuid.uuid4()))
        meta.setdefault("creationTimestamp", now())
        with self.changed:
            self._check()
            if key(obj) in self.objects.setdefault(resource, {}):
                raise errors.already_exists(resource.name, meta["name"])
            return self._store(resource, obj, "ADDED")

    def update(self, resource: Resource, obj: Object, **_: Any) -> Object:
        with self.changed:
            self._found(resource, obj["metadata"]["name"], obj["metadata"].get("namespace", ""))
            return self._store(resource, copy.deepcopy(obj), "MODIFIED")

    def patch(self, resource: Resource, name: str, namespace: str, body: Any, **how: Any) -> Object:
        with self.changed:
            obj = copy.deepcopy(self._found(resource, name, namespace))
            uid = (body.get("metadata") or {}).get("uid")
            if uid and uid != obj["metadata"]["uid"]:
                raise errors.conflict(resource.name, name)
            merge(obj, copy.deepcopy(body))
            return self._store(resource, obj, "MODIFIED")

    def delete(
        self, resource: Resource, name: str, namespace: str = "", *, grace_period: int | None = None, uid: str = ""
    ) -> Object:
        with self.changed:
            obj = copy.deepcopy(self._found(resource, name, namespace))
            if uid and uid != obj["metadata"]["uid"]:
                raise errors.conflict(resource.name, name)
            if resource == PODS and grace_period != 0:
                grace = obj["spec"].get("terminationGracePeriodSeconds", 30) if grace_period is None else grace_period
                obj["metadata"] |= {"deletionTimestamp": now(), "deletionGracePeriodSeconds": grace}
                return self._store(resource, obj, "MODIFIED")
            self.deletions.append(name)
            del self.objects[resource][key(obj)]
            return self._tell(resource, obj, "DELETED")

    def create_subresource(self, resource: Resource, name: str, namespace: str, kind: str, body: Object) -> Object:
        self._check()
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + body["spec"]["expirationSeconds"]))
        return {"status": {"token": f"token of {namespace}/{name}", "expirationTimestamp": expires}}

    # What a test calls

    def go_away(self) -> None:
        with self.changed:
            self.away = True
            self.changed.notify_all()

    def come_back(self) -> None:
        self.away = False

    def wait(self, test: Callable[[], Any], what: str = "") -> Any:
        """Until something is so; looked at after every change. Tells what the pods are like when it never is."""
        deadline = time.monotonic() + SECONDS
        with self.changed:
            while not (found := test()):
                if not self.changed.wait(deadline - time.monotonic()):
                    pods = [(pod["metadata"]["name"], pod.get("status")) for pod in self.objects[PODS].values()]
                    raise AssertionError(f"waited in vain{' for ' + what if what else ''}: {pods} {self.events()}")
            return copy.deepcopy(found)

    def events(self) -> Sequence[str]:
        return [f"{event['reason']}: {event['message']}" for event in self.objects.get(EVENTS, {}).values()]

    def pod(self, name: str) -> Object | None:
        return self.objects.get(PODS, {}).get(f"ns/{name}")

    def _wake(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def _check(self) -> None:
        if self.away:
            raise errors.ServiceUnavailable("the API server is away")

    def _found(self, resource: Resource, name: str, namespace: str) -> Object:
        self._check()
        found = self.objects.get(resource, {}).get(f"{namespace}/{name}" if namespace else name)
        if found is None:
            raise errors.not_found(resource.name, name)
        return found

    def _store(self, resource: Resource, obj: Object, type: str) -> Object:
        self.objects[resource][key(obj)] = obj
        return self._tell(resource, obj, type)

    def _tell(self, resource: Resource, obj: Object, type: str) -> Object:
        self._version = next(self._versions)
        obj["metadata"]["resourceVersion"] = str(self._version)
        self.log.append((self._version, resource, WatchEvent(type, copy.deepcopy(obj))))
        self.changed.notify_all()
        return copy.deepcopy(obj)


def merge(obj: Object, patch: Object) -> None:
    """As much of a strategic merge patch as a kubelet sends."""
    for field, value in patch.items():
        if value is None:
            obj.pop(field, None)
        elif field == "conditions":
            known = {condition["type"]: condition for condition in obj.get(field) or []}
            for condition in value:
                merge(known.setdefault(condition["type"], {}), condition)
            obj[field] = list(known.values())
        elif isinstance(value, dict):
            merge(obj.setdefault(field, {}), value)
        elif isinstance(value, list):
            obj[field] = [row for row in value if row != {"$patch": "replace"}]
        else:
            obj[field] = value


class Kubelet:
    """One agent on an Api; ``restart`` replaces it by another on the same runtime and folder."""

    def __init__(self, api: Api, runtime: ContainerRuntime, root: Path) -> None:
        self.api, self.runtime, self.root = api, runtime, root
        self.start()

    def start(self) -> None:
        dns = ClusterDns(("172.30.0.10",), "cluster.local")
        config = AgentConfig(NodeConfig(NODE, "172.17.0.1", 10250, self.root), SANDBOX, dns)
        self.stop_event = threading.Event()
        self.agent = Agent(self.api, self.runtime, config)  # type: ignore[arg-type]
        self.agent.start(self.stop_event)

    def stop(self) -> None:
        self.stop_event.set()
        self.agent.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def run(
        self, name: str = "p", *, container: Object | None = None, metadata: Object | None = None, **spec: Any
    ) -> Object:
        """Creates a pod on the node; ``container`` adds to the only container that it has by default."""
        default = {"name": "c", "image": IMAGE, "command": ["sleep", "1000"], **(container or {})}
        return self.api.create(
            PODS,
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": "ns", **(metadata or {})},
                "spec": {"nodeName": NODE, "terminationGracePeriodSeconds": 1, "containers": [default], **spec},
            },
        )

    def wait(self, test: Callable[[Object], Any], name: str = "p") -> Object:
        """Until the pod is so; returns it."""

        def look() -> Object | None:
            pod = self.api.pod(name)
            return pod if pod is not None and pod.get("status") and test(pod["status"]) else None

        found: Object = self.api.wait(look, name)
        return found

    def wait_ready(self, name: str = "p") -> Object:
        return self.wait(is_ready, name)

    def wait_gone(self, name: str = "p") -> None:
        self.api.wait(lambda: self.api.pod(name) is None, f"{name} to be gone")

    def wait_event(self, start: str) -> str:
        found: str = self.api.wait(lambda: next((e for e in self.api.events() if e.startswith(start)), None), start)
        return found


def is_ready(status: Object) -> bool:
    return any(row["type"] == "Ready" and row["status"] == "True" for row in status.get("conditions") or [])


@pytest.fixture
def api() -> Api:
    made = Api()
    made.objects[PODS] = {}
    return made


@pytest.fixture
def fake_runtime() -> FakeRuntime:
    made = FakeRuntime(clock=time.time)
    made.present[IMAGE] = RuntimeImage("sha256:1", names=(IMAGE,))
    return made


@pytest.fixture
def fake_kubelet(api: Api, fake_runtime: FakeRuntime, tmp_path: Path) -> Iterator[Kubelet]:
    made = Kubelet(api, fake_runtime, tmp_path)
    yield made
    made.stop()
    clean(tmp_path)


@pytest.fixture(scope="session")
def images() -> None:
    """busybox twice: to run things in, and as the sandbox."""
    runtime = DockerRuntime("images")
    client = runtime.client
    busybox = shutil.which("busybox")
    assert busybox, "these tests need Debian's busybox-static"
    for reference, command in ((IMAGE, '["sh"]'), (SANDBOX, '["sh", "-c", "sleep infinity & wait"]')):
        repository, _, tag = reference.partition(":")
        changes = ["ENV PATH=/bin", f"CMD {command}"]
        client.import_image_from_data(file_system(Path(busybox)), repository=repository, tag=tag, changes=changes)
    runtime.close()


def file_system(busybox: Path) -> bytes:
    applets = "sh sleep cat echo env id ls mount hostname wget httpd mkdir touch rm true false kill ps test dd seq ln"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for folder, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777)):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, mode
            archive.addfile(info)
        archive.add(busybox.resolve(), "bin/busybox")
        for applet in applets.split():
            info = tarfile.TarInfo(f"bin/{applet}")
            info.type, info.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(info)
    return buffer.getvalue()


@pytest.fixture
def docker_runtime(images: None) -> Iterator[DockerRuntime]:
    made = DockerRuntime(f"test-{uuid.uuid4().hex[:8]}")
    yield made
    for container in made.containers():
        made.remove(container.id)
    made.close()


@pytest.fixture
def kubelet(api: Api, docker_runtime: DockerRuntime, tmp_path: Path) -> Iterator[Kubelet]:
    made = Kubelet(api, docker_runtime, tmp_path)
    yield made
    made.stop()
    clean(tmp_path)


def clean(folder: Path) -> None:
    for point in mounting.mounts_below(folder.resolve()):
        mounting.unmount(point)
