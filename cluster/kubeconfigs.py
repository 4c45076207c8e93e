"""Kubeconfig files: one for each component, the administrator's, and our context in the user's own file.

The administrator's carries its keys in itself, so that it can be copied anywhere; the components' point to files.
``up`` selects our context in the user's file and remembers what was selected; ``down`` puts that back.
"""

from __future__ import annotations

import base64
import os
import pwd
import secrets
from pathlib import Path

from cluster.record import Record
from cluster.settings import API_PORT, CONTEXT, State
from machinery import kubeconfig

SERVER = f"https://127.0.0.1:{API_PORT}"
COMPONENTS = {"controllers": "controllers", "kubelet": "kubelet-client", "proxy": "proxy"}


def write_all(state: State) -> None:
    """Every kubeconfig below the state directory, and the administrator's bearer token."""
    for name, certificate in COMPONENTS.items():
        cluster = {"server": SERVER, "certificate-authority": str(state.pki / "ca.crt")}
        user = {
            "client-certificate": str(state.pki / f"{certificate}.crt"),
            "client-key": str(state.pki / f"{certificate}.key"),
        }
        kubeconfig.save(state.kubeconfigs / name, kubeconfig.build(CONTEXT, cluster, user))
    kubeconfig.save(state.kubeconfig, administrator(state))
    if not state.tokens.exists():
        # For clients that only know bearer tokens: token, user, uid, groups.
        with os.fdopen(os.open(state.tokens, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(f"{secrets.token_urlsafe(24)},admin,admin,system:masters\n")


def administrator(state: State) -> kubeconfig.Kubeconfig:
    def data(name: str) -> str:
        return base64.b64encode((state.pki / name).read_bytes()).decode()

    cluster = {"server": SERVER, "certificate-authority-data": data("ca.crt")}
    user = {"client-certificate-data": data("admin.crt"), "client-key-data": data("admin.key")}
    return kubeconfig.build(CONTEXT, cluster, user)


def users_file() -> Path:
    """The kubeconfig that the user's kubectl reads: under sudo, that of the person who typed it."""
    chosen = os.environ.get("KUBECONFIG", "")
    if chosen:
        return Path(chosen.split(os.pathsep)[0])
    sudo_user = os.environ.get("SUDO_UID")
    home = Path(pwd.getpwuid(int(sudo_user)).pw_dir) if sudo_user else Path.home()
    return home / ".kube" / "config"


def merge(state: State, record: Record) -> dict[str, str]:
    """Adds and selects our context in the user's file; returns what to remember of it."""
    path = users_file()
    config = kubeconfig.load(path)
    selected = config.get("current-context") or ""
    merged = kubeconfig.merge(config, administrator(state))
    if merged != config:
        fresh = [folder for folder in (path, *path.parents) if not folder.exists()]
        kubeconfig.save(path, merged)
        _give_to_sudo_user(fresh)
    same_file = record.kubeconfig == str(path)
    previous = selected if selected != CONTEXT else record.previous_context if same_file else ""
    return {"kubeconfig": str(path), "previous_context": previous}


def unmerge(record: Record) -> bool:
    """Takes our context out again; returns whether there was one."""
    return bool(record.kubeconfig) and take_out(Path(record.kubeconfig), CONTEXT, record.previous_context)


def take_out(path: Path, context: str, previous: str) -> bool:
    """The same for any file and context; ``previous`` is what was selected before."""
    if not path.exists():
        return False
    config = kubeconfig.load(path)
    left = kubeconfig.remove(config, context)
    names = {entry["name"] for entry in left.get("contexts") or []}
    if config.get("current-context") == context:
        left["current-context"] = previous if previous in names else ""
    if left == config:
        return False
    if left.get("clusters") or left.get("users") or left.get("contexts"):
        kubeconfig.save(path, left)
    else:
        path.unlink()  # it held nothing but ours
    return True


def _give_to_sudo_user(paths: list[Path]) -> None:
    if "SUDO_UID" in os.environ and "KUBECONFIG" not in os.environ:
        for path in paths:
            os.chown(path, int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"]))
