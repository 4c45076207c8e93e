"""``python -m kubelet``: runs the pods that the API server gives this machine as Docker containers."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from machinery import component

if TYPE_CHECKING:
    from kubelet.agent import Agent
    from kubelet.server.server import KubeletServer
    from machinery.client import Client

log = logging.getLogger("kubelet")

EPILOG = """\
The kubelet needs root (it mounts volumes) and a Docker engine on /var/run/docker.sock. Its containers carry the label
mini-minishift.cluster=<cluster-id>; containers without that label are never touched. When it stops, pods go on;
when it starts again, it picks them up.
"""


def arguments() -> argparse.ArgumentParser:
    parser = component.parser("kubelet", "The node agent: pods as Docker containers.", epilog=EPILOG)
    component.add_kubeconfig(parser)
    parser.add_argument("--hostname-override", required=True, metavar="NAME", help="this node's name")
    parser.add_argument("--node-ip", required=True, metavar="IP", help="the node's InternalIP: docker0's own address")
    parser.add_argument("--root-dir", required=True, type=Path, metavar="DIR", help="where volumes of pods are kept")
    parser.add_argument("--cluster-id", default="mini-minishift", metavar="ID", help="value of our containers' label")
    parser.add_argument("--tls-cert-file", metavar="FILE", help="serving certificate for logs, exec and the like")
    parser.add_argument("--tls-private-key-file", metavar="FILE", help="its key")
    parser.add_argument("--client-ca-file", metavar="FILE", help="who signs the certificates of clients")
    parser.add_argument("--port", type=int, default=10250, help="of the HTTPS server (default %(default)s)")
    parser.add_argument(
        "--pod-infra-container-image",
        default="mini-minishift/sandbox:latest",
        metavar="IMAGE",
        help="the local image of the container that holds a pod's network (default %(default)s)",
    )
    parser.add_argument("--cluster-dns", action="append", default=[], metavar="IP", help="the cluster's DNS server")
    parser.add_argument("--cluster-domain", default="cluster.local", metavar="NAME", help="default %(default)s")
    component.add_healthz(parser, "127.0.0.1:10248")
    return parser


def main() -> None:
    options = arguments().parse_args()
    component.setup_logging(options.verbose)
    stop = component.stop_on_signals()
    client = make_client(options)
    agent = make_agent(options, client)
    health = component.serve_health(options.healthz_bind_address, agent.healthy)
    agent.start(stop)
    server = serve(agent, options, client)
    stop.wait()
    log.info("Stopping; the pods go on")
    if server:
        server.stop()
    agent.close()
    if health:
        health.server_close()


def make_client(options: argparse.Namespace) -> Client:
    from machinery.client import Client
    from machinery.kubeconfig import KubeconfigError

    try:
        return Client.from_kubeconfig(options.kubeconfig, user_agent="kubelet")
    except KubeconfigError as error:
        component.fatal(str(error))


def make_agent(options: argparse.Namespace, client: Client) -> Agent:
    from kubelet.agent import Agent, Config
    from kubelet.names import ClusterDns
    from kubelet.runtime.docker import DockerRuntime

    config = Config(
        node_name=options.hostname_override,
        node_ip=options.node_ip,
        port=options.port,
        root=options.root_dir.absolute(),
        sandbox_image=options.pod_infra_container_image,
        dns=ClusterDns(tuple(options.cluster_dns), options.cluster_domain),
    )
    return Agent(client, DockerRuntime(options.cluster_id), config)


def serve(agent: Agent, options: argparse.Namespace, client: Client) -> KubeletServer | None:
    """The HTTPS server, where there is a certificate for it."""
    if not options.tls_cert_file:
        log.warning("No --tls-cert-file: logs, exec, attach and port-forward are not served")
        return None
    from kubelet.server.access import DelegatedGate
    from kubelet.server.server import KubeletServer, server_context

    context = server_context(
        Path(options.tls_cert_file), Path(options.tls_private_key_file), Path(options.client_ca_file)
    )
    addresses = dict.fromkeys(["127.0.0.1", options.node_ip])
    try:
        gate = DelegatedGate(client, options.hostname_override)
        server = KubeletServer(agent, gate, context, [(address, options.port) for address in addresses])
    except OSError as error:
        component.fatal(f"cannot listen on port {options.port}: {error.strerror}. Choose another --port.")
    server.start()
    return server


if __name__ == "__main__":
    main()
