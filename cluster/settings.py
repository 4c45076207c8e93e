"""What is fixed about a cluster: addresses, ports, image names, and the paths of its state.

Each of these is written here and nowhere else. ``State`` has every path below the state directory, which is
``.cluster/`` in the repository unless ``--state-dir`` or MINI_MINISHIFT_HOME names another.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
IN_REPOSITORY = (REPOSITORY / "pyproject.toml").exists()  # not installed from a wheel

SERVICE_CIDR = "172.30.0.0/16"  # the range of VIPs in the article
SERVICE_IP = "172.30.0.1"  # kubernetes.default, always the first address of the range
CLUSTER_DNS = "172.30.0.10"
CLUSTER_DOMAIN = "cluster.local"
NODE_PORTS = "30000-32767"

API_PORT = 6443
KUBELET_PORT = 10250
CONTROLLERS_HEALTH_PORT = 10257
KUBELET_HEALTH_PORT = 10248
PROXY_HEALTH_PORT = 10256

CONTEXT = "mini-minishift"  # the name of cluster, administrator and their context in the kubeconfig
DEVELOPER_CONTEXT = "mini-minishift-developer"  # a user who has rights in own projects only, and the context

SANDBOX_IMAGE = "mini-minishift/sandbox:latest"
BUSYBOX_IMAGE = "mini-minishift/busybox:1"
SISE_IMAGE = "mini-minishift/sise:0.4.0"

CLUSTER_LABEL = "mini-minishift.cluster"  # on each container of ours; the value is the cluster's id
STATE_VARIABLE = "MINI_MINISHIFT_STATE"  # in the environment of each process of ours; the value is the state directory
HOME_VARIABLE = "MINI_MINISHIFT_HOME"  # the user's choice of a state directory

INSTALLED_STATE = Path("/var/lib/mini-minishift")  # the state directory if there is no repository
MACHINE_LOCK = Path("/run/mini-minishift.lock")  # held while a cluster runs, because only one can own the KUBE chains


@dataclass(frozen=True)
class State:
    """The paths of one cluster's state."""

    root: Path

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def etcd(self) -> Path:
        return self.root / "etcd"

    @property
    def etcd_socket(self) -> Path:
        # etcd appends a port to a unix socket's name, and its Python client must use the same name.
        return self.etcd / "etcd.sock:0"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def kubelet(self) -> Path:
        return self.root / "kubelet"

    @property
    def kubeconfigs(self) -> Path:
        return self.root / "kubeconfigs"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of the administrator and the developer, for ``KUBECONFIG=`` or to copy."""
        return self.root / "kubeconfig"

    @property
    def tokens(self) -> Path:
        return self.root / "tokens.csv"

    @property
    def record(self) -> Path:
        """What ``up`` stores for the other commands: see record.py."""
        return self.root / "cluster.json"

    @property
    def children(self) -> Path:
        """The supervisor's table of the processes that it runs, rewritten at each change."""
        return self.root / "processes.json"


def default_state() -> State:
    chosen = os.environ.get(HOME_VARIABLE)
    if chosen:
        return State(Path(chosen).resolve())
    return State(REPOSITORY / ".cluster" if IN_REPOSITORY else INSTALLED_STATE)
