"""Write kubeconfig files: one for each component, one for people, and our contexts into the user's own file.

The file for people has its keys in it, so that it can be copied anywhere; those of the components refer to files. It
has two contexts, as Minishift has two users: the administrator, and a developer with rights in own projects only.
``up`` selects the administrator's context in the user's file, and records which was selected before; ``down`` selects
that one again.
"""

from __future__ import annotations

import base64
import os
import pwd
import secrets
from collections.abc import Sequence
from pathlib import Path

from cluster.record import ClusterRecord
from cluster.settings import API_PORT, CONTEXT, DEVELOPER_CONTEXT, State
from machinery import kubeconfig

SERVER = f"https://127.0.0.1:{API_PORT}"
CONTEXTS = (CONTEXT, DEVELOPER_CONTEXT)
COMPONENTS = {"controllers": "controllers", "scheduler": "scheduler", "kubelet": "kubelet-client", "proxy": "proxy"}


def write_all(state: State) -> None:
    """Write every kubeconfig below the state directory, and the administrator's bearer token."""
    for name, certificate in COMPONENTS.items():
        cluster = {"server": SERVER, "certificate-authority": str(state.pki / "ca.crt")}
        user = {
            "client-certificate": str(state.pki / f"{certificate}.crt"),
            "client-key": str(state.pki / f"{certificate}.key"),
        }
        kubeconfig.save(state.kubeconfigs / name, kubeconfig.build(CONTEXT, cluster, user))
    kubeconfig.save(state.kubeconfig, people(state))
    if not state.tokens.exists():
        # Some clients know bearer tokens only. The columns are token, user, uid and groups.
        with os.fdopen(os.open(state.tokens, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(f"{secrets.token_urlsafe(24)},admin,admin,system:masters\n")


def people(state: State) -> kubeconfig.Kubeconfig:
    """Return the kubeconfig with both contexts; the administrator's is selected."""

    def data(name: str) -> str:
        return base64.b64encode((state.pki / name).read_bytes()).decode()

    def user(name: str) -> dict[str, str]:
        return {"client-certificate-data": data(f"{name}.crt"), "client-key-data": data(f"{name}.key")}

    cluster = {"server": SERVER, "certificate-authority-data": data("ca.crt")}
    config = kubeconfig.build(CONTEXT, cluster, user("admin"))
    config["users"].append({"name": DEVELOPER_CONTEXT, "user": user("developer")})
    config["contexts"].append({"name": DEVELOPER_CONTEXT, "context": {"cluster": CONTEXT, "user": DEVELOPER_CONTEXT}})
    return config


def users_file() -> Path:
    """Return the path of the kubeconfig that the user's kubectl reads; under sudo, that of the user who typed it."""
    chosen = os.environ.get("KUBECONFIG", "")
    if chosen:
        return Path(chosen.split(os.pathsep)[0])
    sudo_user = os.environ.get("SUDO_UID")
    home = Path(pwd.getpwuid(int(sudo_user)).pw_dir) if sudo_user else Path.home()
    return home / ".kube" / "config"


def merge(state: State, record: ClusterRecord) -> dict[str, str]:
    """Add our contexts to the user's file and select the administrator's; return the changes for the record."""
    path = users_file()
    config = kubeconfig.load(path)
    selected = config.get("current-context") or ""
    merged = kubeconfig.merge(config, people(state))
    if merged != config:
        fresh = [folder for folder in (path, *path.parents) if not folder.exists()]
        kubeconfig.save(path, merged)
        _give_to_sudo_user(fresh)
    same_file = record.kubeconfig == str(path)
    previous = selected if selected not in CONTEXTS else record.previous_context if same_file else ""
    return {"kubeconfig": str(path), "previous_context": previous}


def unmerge(record: ClusterRecord) -> bool:
    """Remove our contexts from the user's file; return True if there were any."""
    return bool(record.kubeconfig) and take_out(Path(record.kubeconfig), CONTEXTS, record.previous_context)


def take_out(path: Path, contexts: Sequence[str], previous: str) -> bool:
    """Remove contexts from a file, and select ``previous`` if one of them was selected.

    Return True if there were any. A file that has nothing else is deleted.
    """
    if not path.exists():
        return False
    config = left = kubeconfig.load(path)
    for context in contexts:
        left = kubeconfig.remove(left, context)
    names = {entry["name"] for entry in left.get("contexts") or []}
    if config.get("current-context") in contexts:
        left["current-context"] = previous if previous in names else ""
    if left == config:
        return False
    if left.get("clusters") or left.get("users") or left.get("contexts"):
        kubeconfig.save(path, left)
    else:
        path.unlink()
    return True


def _give_to_sudo_user(paths: list[Path]) -> None:
    if "SUDO_UID" in os.environ and "KUBECONFIG" not in os.environ:
        for path in paths:
            os.chown(path, int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"]))
