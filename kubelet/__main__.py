"""``python -m kubelet``: runs the pods that the API server gives this machine as Docker containers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from machinery import component, flags
from machinery.extras import MissingExtra, require
from machinery.flags import flag

if TYPE_CHECKING:
    from kubelet.agent import Agent
    from kubelet.runtime.docker import DockerRuntime
    from kubelet.server.server import KubeletServer
    from machinery.client import Client

log = logging.getLogger("kubelet")

EPILOG = """\
The kubelet needs root (it mounts volumes) and a Docker engine on /var/run/docker.sock. Its containers carry the label
mini-minishift.cluster=<cluster-id>; containers without that label are never touched. When it stops, pods go on;
when it starts again, it picks them up.
"""

# The values of --authorization-mode that upstream has, too.
WEBHOOK, ALWAYS_ALLOW = "Webhook", "AlwaysAllow"


@dataclass(frozen=True, kw_only=True)
class Flags:
    kubeconfig: str = flags.kubeconfig()
    hostname_override: str = flag(help="this node's name", metavar="NAME")
    node_ip: str = flag(help="the node's InternalIP: docker0's own address", metavar="IP")
    root_dir: Path = flag(help="where volumes of pods are kept", metavar="DIR")
    cluster_id: str = flag("mini-minishift", "value of our containers' label", metavar="ID")
    tls_cert_file: Path | None = flag(None, "serving certificate for logs, exec and the like")
    tls_private_key_file: Path | None = flag(None, "its key")
    client_ca_file: Path | None = flag(None, "who signs the certificates of clients")
    authorization_mode: str = flag(
        WEBHOOK,
        "who may read logs, exec and the like: Webhook asks the API server, AlwaysAllow lets every certified client",
        choices=(WEBHOOK, ALWAYS_ALLOW),
    )
    port: int = flag(10250, "of the HTTPS server")
    pod_infra_container_image: str = flag(
        "mini-minishift/sandbox:latest", "the local image of the container that holds a pod's network", metavar="IMAGE"
    )
    cluster_dns: tuple[str, ...] = flag((), "the cluster's DNS server; may be repeated", metavar="IP", action="append")
    allowed_unsafe_sysctls: tuple[str, ...] = flag(
        (),
        "a sysctl, or a prefix with *, that pods may set beside the safe ones; may be repeated",
        metavar="NAME",
        action="append",
    )
    cluster_domain: str = flag("cluster.local", "the domain below which Services have their names", metavar="NAME")
    healthz_bind_address: str = flags.healthz_bind_address("127.0.0.1:10248")
    verbose: bool = flags.verbose()


def main() -> None:
    parser = flags.parser(Flags, "kubelet", "The node agent: pods as Docker containers.", epilog=EPILOG)
    options = flags.parse(parser, Flags)
    component.setup_logging(options.verbose)
    try:
        require("cluster", "docker")
    except MissingExtra as error:
        component.fatal(str(error))
    stop = component.stop_on_signals()
    client = make_client(options)
    runtime = make_runtime(options)
    agent = make_agent(options, client, runtime)
    health = component.serve_health(options.healthz_bind_address, agent.healthy)
    agent.start(stop)
    server = serve(agent, runtime, options, client)
    stop.wait()
    log.info("Stopping; the pods go on")
    if server:
        server.stop()
    agent.close()
    if health:
        health.server_close()


def make_client(options: Flags) -> Client:
    from machinery.client import Client
    from machinery.kubeconfig import KubeconfigError

    try:
        return Client.from_kubeconfig(options.kubeconfig, user_agent="kubelet")
    except KubeconfigError as error:
        component.fatal(str(error))


def make_runtime(options: Flags) -> DockerRuntime:
    from kubelet.runtime.docker import DockerRuntime

    return DockerRuntime(options.cluster_id)


def make_agent(options: Flags, client: Client, runtime: DockerRuntime) -> Agent:
    from kubelet.agent import Agent, AgentConfig
    from kubelet.model.names import ClusterDns
    from kubelet.node.registration import NodeConfig

    config = AgentConfig(
        node=NodeConfig(options.hostname_override, options.node_ip, options.port, options.root_dir.absolute()),
        sandbox_image=options.pod_infra_container_image,
        dns=ClusterDns(tuple(options.cluster_dns), options.cluster_domain),
        allowed_unsafe_sysctls=tuple(options.allowed_unsafe_sysctls),
    )
    return Agent(client, runtime, config)


def serve(agent: Agent, runtime: DockerRuntime, options: Flags, client: Client) -> KubeletServer | None:
    """Start the HTTPS server. Return None if there is no certificate for it."""
    if not (options.tls_cert_file and options.tls_private_key_file and options.client_ca_file):
        log.warning(
            "Without --tls-cert-file, its key and --client-ca-file there are no logs, exec, attach and port-forward"
        )
        return None
    from kubelet.server.access import CertificateGate, DelegatedGate, Gate
    from kubelet.server.handler import KubeletApi
    from kubelet.server.server import KubeletServer, server_context

    context = server_context(options.tls_cert_file, options.tls_private_key_file, options.client_ca_file)
    addresses = dict.fromkeys(["127.0.0.1", options.node_ip])
    try:
        delegates = options.authorization_mode == WEBHOOK
        gate: Gate = DelegatedGate(client, options.hostname_override) if delegates else CertificateGate()
        api = KubeletApi(agent, runtime, gate)
        server = KubeletServer(api, context, [(address, options.port) for address in addresses])
    except OSError as error:
        component.fatal(f"cannot listen on port {options.port}: {error.strerror}. Choose another --port.")
    server.start()
    return server


if __name__ == "__main__":
    main()
