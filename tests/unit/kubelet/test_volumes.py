"""Payloads, the atomic writer, hostPath checks: on a temporary directory, without root."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from kubelet.container.env import ConfigError
from kubelet.container.fieldref import DownwardApi
from kubelet.model.names import ClusterDns
from kubelet.sync.sources import references
from kubelet.volumes import atomic, hostpath, subpath
from kubelet.volumes.manager import VolumeManager, memory_limit
from kubelet.volumes.mounting import VolumeError
from kubelet.volumes.mounts import Mounts
from kubelet.volumes.payload import Inputs, PayloadFile, payload
from kubelet.volumes.tokens import TokenCache
from machinery.objects import Object

OBJECTS = {
    ("configmap", "cm"): {"data": {"a": "1", "b": "2"}, "binaryData": {"c": base64.b64encode(b"\x00").decode()}},
    ("secret", "s"): {"data": {"user": base64.b64encode(b"bob").decode()}},
}


def made(pod: Object, volume: Object) -> dict[str, tuple[bytes, int]]:
    inputs = Inputs(
        DownwardApi(pod, (), "172.17.0.1", {"cpu": "2"}),
        lambda kind, namespace, name: OBJECTS.get((kind, name)),
        lambda pod, source: f"token for {source.get('audience', 'all')}",
    )
    return {path: (file.contents, file.mode) for path, file in payload(inputs, volume).items()}


def test_config_map(make_pod: Any) -> None:
    assert made(make_pod(), {"configMap": {"name": "cm"}}) == {
        "a": (b"1", 0o644),
        "b": (b"2", 0o644),
        "c": (b"\x00", 0o644),
    }


def test_items_and_modes(make_pod: Any) -> None:
    items = [{"key": "a", "path": "x/y", "mode": 0o400}, {"key": "b", "path": "b"}]
    volume = {"configMap": {"name": "cm", "items": items, "defaultMode": 0o600}}
    assert made(make_pod(), volume) == {"x/y": (b"1", 0o400), "b": (b"2", 0o600)}


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"configMap": {"name": "no"}}, 'configmap "no" not found'),
        ({"secret": {"secretName": "no"}}, 'secret "no" not found'),
        (
            {"configMap": {"name": "cm", "items": [{"key": "no", "path": "x"}]}},
            "configmap references non-existent config key: no",
        ),
        (
            {"secret": {"secretName": "s", "items": [{"key": "no", "path": "x"}]}},
            "references non-existent secret key: no",
        ),
        ({"configMap": {"name": "cm", "items": [{"key": "a", "path": "../x"}]}}, 'invalid path "../x"'),
        ({"configMap": {"name": "cm", "items": [{"key": "a", "path": "..data/x"}]}}, 'invalid path "..data/x"'),
        ({"configMap": {"name": "cm", "items": [{"key": "a", "path": "."}]}}, 'invalid path "."'),
    ],
)
def test_refusals(make_pod: Any, volume: Object, message: str) -> None:
    with pytest.raises(VolumeError, match="^" + message.replace("(", r"\(")):
        made(make_pod(), volume)


def test_optional(make_pod: Any) -> None:
    assert made(make_pod(), {"configMap": {"name": "no", "optional": True}}) == {}
    items = [{"key": "no", "path": "x"}, {"key": "a", "path": "a"}]
    assert made(make_pod(), {"configMap": {"name": "cm", "items": items, "optional": True}}) == {"a": (b"1", 0o644)}


def test_projected(make_pod: Any) -> None:
    sources = [
        {"configMap": {"name": "cm", "items": [{"key": "a", "path": "a"}]}},
        {"secret": {"name": "s"}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"serviceAccountToken": {"path": "token", "audience": "vault"}},
    ]
    pod = make_pod({"labels": {"b": 'say "hi"', "a": "1"}})
    assert made(pod, {"projected": {"sources": sources, "defaultMode": 0o440}}) == {
        "a": (b"1", 0o440),
        "user": (b"bob", 0o440),
        "labels": (b'a="1"\nb="say \\"hi\\""', 0o440),
        "token": (b"token for vault", 0o440),
    }


def test_token_is_for_the_user_of_the_pod_alone(make_pod: Any) -> None:
    pod = make_pod(securityContext={"runAsUser": 7})
    assert made(pod, {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}})["token"][1] == 0o600


def visible(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.relative_to(folder).parts[0].startswith("..")
    }


def test_atomic_writer(tmp_path: Path) -> None:
    assert atomic.write(tmp_path, {"a": PayloadFile(b"1", 0o640), "d/e": PayloadFile(b"2", 0o400)})
    assert (tmp_path / "a").read_bytes() == b"1"
    assert (tmp_path / "d" / "e").read_bytes() == b"2"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "a").readlink() == Path("..data/a")


def test_atomic_writer_changes_all_at_once(tmp_path: Path) -> None:
    atomic.write(tmp_path, {"a": PayloadFile(b"1", 0o644), "old": PayloadFile(b"x", 0o644)})
    before = (tmp_path / "..data").readlink()
    assert not atomic.write(tmp_path, {"a": PayloadFile(b"1", 0o644), "old": PayloadFile(b"x", 0o644)})
    assert (tmp_path / "..data").readlink() == before
    assert atomic.write(tmp_path, {"a": PayloadFile(b"2", 0o644), "new": PayloadFile(b"y", 0o644)})
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("..")) == ["a", "new"]
    assert (tmp_path / "a").read_bytes() == b"2"
    assert not (tmp_path / before).exists()


def test_directories_are_for_the_kubelet_alone_to_write(tmp_path: Path) -> None:
    atomic.write(tmp_path, {"d/e": PayloadFile(b"2", 0o400)})
    assert [path.stat().st_mode & 0o7777 for path in (tmp_path / "..data", tmp_path / "d")] == [0o755, 0o755]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A directory of the host that no container may make the kubelet touch."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").write_text("x")
    return victim


def is_untouched(victim: Path) -> bool:
    return [path.name for path in victim.iterdir()] == ["precious"] and (victim / "precious").read_text() == "x"


@pytest.mark.parametrize("target", ["{victim}", "../victim", "..", ".", "plain", "..data", "..link"])
def test_a_planted_data_link_is_not_believed(tmp_path: Path, victim: Path, target: str) -> None:
    folder = tmp_path / "volume"
    folder.mkdir()
    atomic.write(folder, {"a": PayloadFile(b"1", 0o644)})
    (folder / "plain").mkdir()
    (folder / "..link").symlink_to(victim)
    (folder / "..data").unlink()
    (folder / "..data").symlink_to(target.format(victim=victim))
    assert not atomic.is_written(folder)
    assert atomic.write(folder, {"a": PayloadFile(b"2", 0o644)})
    assert is_untouched(victim)
    assert (folder / "a").read_bytes() == b"2"


@pytest.mark.parametrize("name", ["..data", "..data_tmp", "a", "old"])
def test_a_planted_directory_makes_way(tmp_path: Path, victim: Path, name: str) -> None:
    folder = tmp_path / "volume"
    folder.mkdir()
    (folder / name / "inner").mkdir(parents=True)
    (folder / name / "link").symlink_to(victim)
    atomic.write(folder, {"a": PayloadFile(b"1", 0o644)})
    assert is_untouched(victim)
    assert visible(folder) == {"a": b"1"}


def test_a_planted_link_at_the_top_is_replaced(tmp_path: Path, victim: Path) -> None:
    folder = tmp_path / "volume"
    folder.mkdir()
    (folder / "a").symlink_to(victim / "precious")
    (folder / "gone").symlink_to(victim)
    atomic.write(folder, {"a": PayloadFile(b"1", 0o644)})
    assert is_untouched(victim)
    assert visible(folder) == {"a": b"1"}


def test_what_was_planted_among_the_files_is_written_anew(tmp_path: Path, victim: Path) -> None:
    folder = tmp_path / "volume"
    folder.mkdir()
    payload = {"a": PayloadFile(b"x", 0o644), "d/e": PayloadFile(b"x", 0o644)}
    atomic.write(folder, payload)
    current = (folder / "..data").resolve()
    (current / "a").unlink()
    (current / "a").symlink_to(victim / "precious")
    os.mkfifo(current / "pipe")
    assert atomic.write(folder, payload)
    assert not current.exists()
    assert is_untouched(victim)
    assert not atomic.write(folder, payload)


def test_the_volume_itself_is_no_link(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "volume").symlink_to(victim)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        atomic.write(tmp_path / "volume", {"a": PayloadFile(b"1", 0o644)})
    assert is_untouched(victim)


VOLUMES: list[tuple[Object, bool]] = [
    ({"configMap": {"name": "cm"}}, True),
    ({"secret": {"secretName": "s"}}, True),
    ({"downwardAPI": {"items": []}}, True),
    ({"projected": {"sources": []}}, True),
    ({"emptyDir": {}}, False),
    ({"hostPath": {"path": "/tmp"}}, False),
]


@pytest.mark.parametrize(("volume", "read_only"), VOLUMES)
@pytest.mark.parametrize("sub_path", ["", "part"])
def test_what_the_kubelet_writes_is_mounted_read_only(
    tmp_path: Path, make_pod: Any, monkeypatch: pytest.MonkeyPatch, volume: Object, read_only: bool, sub_path: str
) -> None:
    monkeypatch.setattr(subpath, "bind", lambda *_: None)  # mounting takes root
    mount = {"name": "v", "mountPath": "/v", "readOnly": False, "subPath": sub_path}
    pod = make_pod(containers=[{"name": "c", "image": "i", "volumeMounts": [mount]}], volumes=[{"name": "v"} | volume])
    mounts = Mounts(VolumeManager(tmp_path, TokenCache(None)), ClusterDns((), ""))  # type: ignore[arg-type]
    made = mounts.of(pod, pod["spec"]["containers"][0], 0, {})
    assert {mount.container_path: mount.read_only for mount in made}["/v"] is read_only


def test_a_link_in_place_of_the_termination_message_is_not_followed(tmp_path: Path, make_pod: Any) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    pod = make_pod(containers=[{"name": "c", "image": "i"}])
    spec = pod["spec"]["containers"][0]
    mounts = Mounts(VolumeManager(tmp_path, TokenCache(None)), ClusterDns((), ""))  # type: ignore[arg-type]
    file = Path(
        {mount.container_path: mount.host_path for mount in mounts.of(pod, spec, 0, {})}["/dev/termination-log"]
    )
    file.unlink()
    file.symlink_to(secret)
    with pytest.raises(OSError, match="Too many levels"):
        mounts.termination_message(pod, spec, 0)
    mounts.of(pod, spec, 0, {})
    assert (secret.read_text(), mounts.termination_message(pod, spec, 0)) == ("x", "")


def opened_inside(volume: Path, sub_path: str) -> Path:
    """Where a subPath leads."""
    descriptor = subpath._open_inside(volume, sub_path)
    try:
        return Path(f"/proc/self/fd/{descriptor}").readlink()
    finally:
        os.close(descriptor)


def test_sub_path_stays_in_the_volume(tmp_path: Path, victim: Path) -> None:
    volume = tmp_path / "volume"
    (volume / "in").mkdir(parents=True)
    for name, target in [("out", victim), ("up", Path("../victim")), ("loop", Path("loop")), ("here", Path("in"))]:
        (volume / name).symlink_to(target)
    for sub_path in ("out", "out/precious", "up", "loop", "loop/x"):
        with pytest.raises(VolumeError):
            opened_inside(volume, sub_path)
    assert opened_inside(volume, "here/new") == volume / "in" / "new"
    assert is_untouched(victim)


def test_empty_payload(tmp_path: Path) -> None:
    assert not atomic.is_written(tmp_path)
    atomic.write(tmp_path, {})
    assert atomic.is_written(tmp_path)
    assert visible(tmp_path) == {}


@pytest.mark.parametrize(
    ("kind", "name", "noun"),
    [("Directory", "file", "directory"), ("File", "folder", "file"), ("Socket", "file", "socket file")],
)
def test_host_path_types(tmp_path: Path, kind: str, name: str, noun: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(VolumeError, match=f"hostPath type check failed: .*/{name} is not a {noun}"):
        hostpath.prepare(tmp_path / name, kind)


def test_host_path_is_made(tmp_path: Path) -> None:
    hostpath.prepare(tmp_path / "a" / "b", "DirectoryOrCreate")
    hostpath.prepare(tmp_path / "f", "FileOrCreate")
    hostpath.prepare(tmp_path / "n", "")
    assert ((tmp_path / "a" / "b").is_dir(), (tmp_path / "f").is_file(), (tmp_path / "n").is_dir()) == (True,) * 3


def test_references(make_pod: Any) -> None:
    pod = make_pod(
        containers=[
            {
                "name": "c",
                "image": "i",
                "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s1", "key": "k"}}}],
                "envFrom": [{"configMapRef": {"name": "c1"}}],
            }
        ],
        volumes=[
            {"name": "v", "secret": {"secretName": "s2"}},
            {"name": "w", "projected": {"sources": [{"configMap": {"name": "c2"}}, {"secret": {"name": "s3"}}]}},
            {"name": "e", "emptyDir": {}},
        ],
    )
    assert references(pod) == {
        ("secret", "s1"),
        ("configmap", "c1"),
        ("secret", "s2"),
        ("configmap", "c2"),
        ("secret", "s3"),
    }


@pytest.mark.parametrize("mode", ["Enabled", "IfPossible"])
def test_recursive_read_only_is_refused_where_it_must_be(tmp_path: Path, make_pod: Any, mode: str) -> None:
    mounts = Mounts(VolumeManager(tmp_path, TokenCache(None)), ClusterDns((), ""))  # type: ignore[arg-type]
    mount = {"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": mode}
    spec = {"name": "c", "image": "i", "volumeMounts": [mount]}
    pod = make_pod(containers=[spec], volumes=[{"name": "v", "emptyDir": {}}])
    if mode == "IfPossible":
        assert next(found for found in mounts.of(pod, spec, 0, {}) if found.container_path == "/v").read_only
        return
    with pytest.raises(ConfigError, match='volume "v" requested recursive read-only mode'):
        mounts.of(pod, spec, 0, {})


def test_memory_limits(make_pod: Any) -> None:
    def limit(*containers: str | None) -> int:
        limits = [{"limits": {"memory": memory}} if memory else {} for memory in containers]
        pod = make_pod(containers=[{"name": "c", "image": "i", "resources": each} for each in limits])
        return memory_limit(DownwardApi(pod, (), "", {"memory": "1Gi"}))

    assert limit("20Mi", "10Mi") == 30 * 2**20
    assert limit("20Mi", None) == 2**30  # one without a limit may use all that the node has
    assert limit("2Gi") == 2**30
