"""Read kubeconfig files, merge a context of ours into a user's file, and remove it again.

Other clusters, users, contexts and unknown fields stay as they are. A file is written whole beside the old one and
renamed, so that a reader never sees half of it; its mode is 0600, because it holds keys.
"""

from __future__ import annotations

import base64
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Kubeconfig = dict[str, Any]


class KubeconfigError(Exception):
    """A kubeconfig cannot be used; the text says why, and what to do about it."""


@dataclass(frozen=True)
class ClientConfig:
    """Where an API server is and who the client is: what one context of a kubeconfig says. Certificates are PEM."""

    server: str
    certificate_authority: bytes = b""
    client_certificate: bytes = b""
    client_key: bytes = b""
    token: str = ""
    namespace: str = "default"
    tls_server_name: str = ""
    insecure_skip_tls_verify: bool = False

    def __repr__(self) -> str:
        return f"ClientConfig({self.server})"  # A log must never have the key or the token.


def load(path: str | Path) -> Kubeconfig:
    """Return the file's content, an empty configuration if there is no such file. Raises KubeconfigError."""
    path = Path(path)
    if not path.exists():
        return {"apiVersion": "v1", "kind": "Config", "clusters": [], "contexts": [], "users": []}
    try:
        config = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise KubeconfigError(f"{path} is not YAML: {error}. Repair it or move it away.") from error
    if not isinstance(config, dict):
        raise KubeconfigError(f"{path} is not a kubeconfig. Repair it or move it away.")
    return config


def save(path: str | Path, config: Kubeconfig) -> None:
    """Write the file, readable by its owner alone. The target of a symbolic link is written, and keeps its owner."""
    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            yaml.safe_dump(config, file, sort_keys=False)
        if path.exists():
            owner = path.stat()
            os.chown(temporary, owner.st_uid, owner.st_gid)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def client_config(path: str | Path, context: str = "") -> ClientConfig:
    """Return what the file's current (or the named) context says. Raises KubeconfigError."""
    path = Path(path)
    if not path.exists():
        raise KubeconfigError(f"there is no kubeconfig at {path}. Start the cluster with: make up")
    config = load(path)
    name = context or config.get("current-context") or ""
    chosen = _named(config, "contexts", name, path).get("context") or {}
    cluster = _named(config, "clusters", chosen.get("cluster", ""), path).get("cluster") or {}
    user = _named(config, "users", chosen["user"], path).get("user") or {} if chosen.get("user") else {}
    folder = path.resolve().parent
    token = user.get("token") or ""
    if not token and user.get("tokenFile"):
        token = (folder / user["tokenFile"]).read_text().strip()
    return ClientConfig(
        server=str(cluster.get("server", "")).rstrip("/"),
        certificate_authority=_pem(cluster, "certificate-authority", folder),
        client_certificate=_pem(user, "client-certificate", folder),
        client_key=_pem(user, "client-key", folder),
        token=token,
        namespace=chosen.get("namespace") or "default",
        tls_server_name=cluster.get("tls-server-name") or "",
        insecure_skip_tls_verify=bool(cluster.get("insecure-skip-tls-verify")),
    )


def build(name: str, cluster: dict[str, Any], user: dict[str, Any]) -> Kubeconfig:
    """Return a kubeconfig with one cluster, one user, and their context, which is the current one."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def merge(config: Kubeconfig, added: Kubeconfig) -> Kubeconfig:
    """Return ``config`` with the entries of ``added``, which replace those of the same name, and select its context."""
    merged = dict(config)
    merged.setdefault("apiVersion", "v1")
    merged.setdefault("kind", "Config")
    for section in ("clusters", "users", "contexts"):
        new = added.get(section) or []
        names = {entry["name"] for entry in new}
        merged[section] = [entry for entry in merged.get(section) or [] if entry.get("name") not in names] + list(new)
    if added.get("current-context"):
        merged["current-context"] = added["current-context"]
    return merged


def remove(config: Kubeconfig, context: str) -> Kubeconfig:
    """Return ``config`` without a context, and without its cluster and user unless another context uses them."""
    left = dict(config)
    contexts = left.get("contexts") or []
    gone = [entry.get("context") or {} for entry in contexts if entry.get("name") == context]
    left["contexts"] = [entry for entry in contexts if entry.get("name") != context]
    for section, field in (("clusters", "cluster"), ("users", "user")):
        used = {(entry.get("context") or {}).get(field) for entry in left["contexts"]}
        orphaned = {entry.get(field) for entry in gone} - used
        left[section] = [entry for entry in left.get(section) or [] if entry.get("name") not in orphaned]
    if left.get("current-context") == context:
        left["current-context"] = ""
    return left


def _named(config: Kubeconfig, section: str, name: str, path: Path) -> dict[str, Any]:
    for entry in config.get(section) or ():
        if entry.get("name") == name:
            found: dict[str, Any] = entry
            return found
    raise KubeconfigError(
        f"{path} has no entry {name!r} in its {section}. Name an existing context or write a new file."
    )


def _pem(entry: dict[str, Any], field: str, folder: Path) -> bytes:
    """Return the PEM of a field: of inline base64, else of a file, whose path is relative to the kubeconfig."""
    if data := entry.get(f"{field}-data"):
        return base64.b64decode(str(data))
    if file := entry.get(field):
        try:
            return (folder / str(file)).read_bytes()
        except OSError as error:
            raise KubeconfigError(f"cannot read {field} {folder / str(file)}: {error.strerror}") from error
    return b""
