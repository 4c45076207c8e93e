"""What is fixed about a cluster: addresses, ports, image names, and the paths of its state.

Each of these is written here and nowhere else. ``State`` has every path below the state directory, which is
``.cluster/`` in the repository unless ``--state-dir`` or MINI_MINISHIFT_HOME names another.
"""

from __future__ import annotations

import os
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


class State:
    """The paths of one cluster's state."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pki = root / "pki"
        self.etcd = root / "etcd"
        # etcd appends a port to a unix socket's name, and its Python client must use the same name.
        self.etcd_socket = self.etcd / "etcd.sock:0"
        self.logs = root / "logs"
        self.kubelet = root / "kubelet"
        self.kubeconfigs = root / "kubeconfigs"  # of the components
        self.kubeconfig = root / "kubeconfig"  # of the administrator and the developer, for KUBECONFIG= or to copy
        self.tokens = root / "tokens.csv"
        self.record = root / "cluster.json"  # what `up` stores for the other commands: see record.py
        self.children = root / "processes.json"  # the supervisor's table of its processes, rewritten at each change


def default_state() -> State:
    chosen = os.environ.get(HOME_VARIABLE)
    if chosen:
        return State(Path(chosen).resolve())
    return State(REPOSITORY / ".cluster" if IN_REPOSITORY else INSTALLED_STATE)
