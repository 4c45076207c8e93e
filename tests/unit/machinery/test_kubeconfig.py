"""Kubeconfigs: what a context comes to, and merging ours into a user's file without touching the rest."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from machinery import kubeconfig
from machinery.kubeconfig import KubeconfigError

OURS = kubeconfig.build("mini-minishift", {"server": "https://127.0.0.1:6443"}, {"token": "t"})
USERS = {
    "apiVersion": "v1",
    "kind": "Config",
    "preferences": {"colors": True},
    "clusters": [{"name": "work", "cluster": {"server": "https://work", "extensions": [1]}}],
    "users": [{"name": "me", "user": {"exec": {"command": "login"}}}],
    "contexts": [{"name": "work", "context": {"cluster": "work", "user": "me", "namespace": "dev"}}],
    "current-context": "work",
}


def test_merge_and_remove_leave_the_rest_as_it_was() -> None:
    merged = kubeconfig.merge(USERS, OURS)
    assert merged["current-context"] == "mini-minishift"
    assert [entry["name"] for entry in merged["contexts"]] == ["work", "mini-minishift"]
    assert kubeconfig.merge(merged, OURS) == merged
    assert kubeconfig.remove(merged, "mini-minishift") == {**USERS, "current-context": ""}
    assert kubeconfig.remove(USERS, "mini-minishift") == USERS


def test_a_cluster_that_another_context_uses_stays() -> None:
    merged = kubeconfig.merge(USERS, OURS)
    merged["contexts"].append({"name": "mine", "context": {"cluster": "mini-minishift", "user": "me"}})
    left = kubeconfig.remove(merged, "mini-minishift")
    assert [entry["name"] for entry in left["clusters"]] == ["work", "mini-minishift"]
    assert [entry["name"] for entry in left["users"]] == ["me"]


def test_save_is_private_and_load_reads_it_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "config"
    kubeconfig.save(path, OURS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert kubeconfig.load(path) == OURS
    assert [entry.name for entry in path.parent.iterdir()] == ["config"]


def test_save_follows_a_link(tmp_path: Path) -> None:
    target = tmp_path / "real"
    target.write_text("{}")
    link = tmp_path / "config"
    link.symlink_to(target)
    kubeconfig.save(link, OURS)
    assert link.is_symlink()
    assert kubeconfig.load(target) == OURS


def test_access_from_files_and_from_data(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(b"CA")
    cluster = {"server": "https://x:1/", "certificate-authority": "ca.crt"}
    user = {"client-certificate-data": base64.b64encode(b"CERT").decode(), "client-key": str(tmp_path / "ca.crt")}
    kubeconfig.save(tmp_path / "config", kubeconfig.build("c", cluster, user))
    access = kubeconfig.client_config(tmp_path / "config")
    assert (access.server, access.certificate_authority) == ("https://x:1", b"CA")
    assert (access.client_certificate, access.client_key) == (b"CERT", b"CA")
    assert "CERT" not in repr(access)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "Start the cluster with: make up"),
        ("a: [", "is not YAML"),
        ("[1]", "is not a kubeconfig"),
        ("{current-context: x}", "no entry 'x' in its contexts"),
    ],
)
def test_errors_say_what_to_do(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(KubeconfigError, match=message):
        kubeconfig.client_config(path)
