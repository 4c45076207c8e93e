"""The command line of each process of a cluster, and the URL of its health check. No I/O.

Flags are upstream's if upstream has them. Every process listens on loopback or on docker0's address only; SECURITY.md
says what another machine needs to reach the latter.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from cluster.record import ClusterRecord
from cluster.settings import (
    API_PORT,
    CLUSTER_DNS,
    CLUSTER_DOMAIN,
    CONTROLLERS_HEALTH_PORT,
    KUBELET_HEALTH_PORT,
    KUBELET_PORT,
    NODE_PORTS,
    PROXY_HEALTH_PORT,
    REPOSITORY,
    SANDBOX_IMAGE,
    SERVICE_CIDR,
    State,
)


class Component(NamedTuple):
    name: str
    argv: list[str]
    folder: str  # its current folder
    health: str  # a URL; empty for etcd, which listens on unix sockets only
    sockets: tuple[str, ...] = ()  # files that a killed process leaves behind, and that must be removed before a start


def components(state: State, record: ClusterRecord) -> list[Component]:
    """Return the components in the order of their start; they stop in reverse."""
    return [
        etcd(state),
        apiserver(state, record),
        controllers(state, record),
        kubelet(state, record),
        proxy(state, record),
    ]


def _python(package: str, *flags: str) -> list[str]:
    return [sys.executable, "-m", package, *flags]


def etcd(state: State) -> Component:
    argv = [
        "etcd",
        "--name=default",
        "--data-dir=data",
        "--listen-client-urls=unix://etcd.sock:0",
        "--advertise-client-urls=unix://etcd.sock:0",
        "--listen-peer-urls=unix://peer.sock:0",
        "--initial-advertise-peer-urls=unix://peer.sock:0",
        "--initial-cluster=default=unix://peer.sock:0",
        # A single member elects itself, but only after a whole election timeout. With the default of a second, a
        # restart takes 1.1 to 1.9 s, with this 0.2 s.
        "--heartbeat-interval=50",
        "--election-timeout=250",
        # Only watches and lists in pages need the history. Upstream's API server keeps five minutes of it, too.
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=5m",
        # This is the most that etcd supports. With the default of 2 GiB, a busy cluster's etcd may refuse all writes.
        "--quota-backend-bytes=8589934592",
        "--logger=zap",
        "--log-level=warn",
        "--log-outputs=stderr",
    ]
    return Component("etcd", argv, str(state.etcd), "", sockets=("etcd.sock:0", "peer.sock:0"))


def apiserver(state: State, record: ClusterRecord) -> Component:
    pki = state.pki
    argv = _python(
        "apiserver",
        f"--etcd-servers=unix:{state.etcd_socket}",
        "--bind-address=127.0.0.1",
        f"--bind-address={record.node_ip}",
        f"--secure-port={API_PORT}",
        f"--advertise-address={record.node_ip}",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--token-auth-file={state.tokens}",
        f"--service-account-key-file={pki}/sa.pub",
        f"--service-account-signing-key-file={pki}/sa.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        f"--service-node-port-range={NODE_PORTS}",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet-client.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        "--workers=2",
        *(["--features=none"] if record.core else []),
    )
    return Component("apiserver", argv, str(REPOSITORY), f"https://127.0.0.1:{API_PORT}/readyz")


def controllers(state: State, record: ClusterRecord) -> Component:
    # Without the feature of service accounts, single controllers cannot have identities of their own.
    selected = ["--controllers=core"] if record.core else ["--use-service-account-credentials"]
    argv = _python(
        "controllers",
        f"--kubeconfig={state.kubeconfigs}/controllers",
        f"--scheduler-kubeconfig={state.kubeconfigs}/scheduler",
        *selected,
        f"--root-ca-file={state.pki}/ca.crt",
        f"--cluster-signing-cert-file={state.pki}/ca.crt",
        f"--cluster-signing-key-file={state.pki}/ca.key",
        # Upstream's end-to-end suite of v1.20, which this cluster is tested with, waits for them in every namespace.
        "--legacy-service-account-tokens",
        f"--healthz-bind-address=127.0.0.1:{CONTROLLERS_HEALTH_PORT}",
    )
    return Component("controllers", argv, str(REPOSITORY), f"http://127.0.0.1:{CONTROLLERS_HEALTH_PORT}/healthz")


def kubelet(state: State, record: ClusterRecord) -> Component:
    argv = _python(
        "kubelet",
        f"--kubeconfig={state.kubeconfigs}/kubelet",
        f"--hostname-override={record.node}",
        f"--node-ip={record.node_ip}",
        f"--root-dir={state.kubelet}",
        f"--tls-cert-file={state.pki}/kubelet.crt",
        f"--tls-private-key-file={state.pki}/kubelet.key",
        f"--client-ca-file={state.pki}/ca.crt",
        f"--port={KUBELET_PORT}",
        f"--pod-infra-container-image={SANDBOX_IMAGE}",
        f"--cluster-dns={CLUSTER_DNS}",
        f"--cluster-domain={CLUSTER_DOMAIN}",
        f"--healthz-bind-address=127.0.0.1:{KUBELET_HEALTH_PORT}",
        f"--cluster-id={record.id}",
        # Without the feature of access control, the API server cannot answer a SubjectAccessReview.
        *(["--authorization-mode=AlwaysAllow"] if record.core else []),
    )
    return Component("kubelet", argv, str(REPOSITORY), f"http://127.0.0.1:{KUBELET_HEALTH_PORT}/healthz")


def proxy(state: State, record: ClusterRecord) -> Component:
    argv = _python(
        "proxy",
        f"--kubeconfig={state.kubeconfigs}/proxy",
        f"--cluster-cidr={record.pod_cidr}",
        f"--service-cidr={SERVICE_CIDR}",
        f"--hostname-override={record.node}",
        f"--healthz-bind-address=127.0.0.1:{PROXY_HEALTH_PORT}",
    )
    return Component("proxy", argv, str(REPOSITORY), f"http://127.0.0.1:{PROXY_HEALTH_PORT}/healthz")
