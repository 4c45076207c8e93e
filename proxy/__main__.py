"""kube-proxy: keeps this node's iptables rules at what Services and EndpointSlices ask for."""

from __future__ import annotations

import functools
import logging
import socket
import sys

from machinery import component
from proxy.runner import Iptables, RuleError

log = logging.getLogger("proxy")

DESCRIPTION = """\
Makes Services work on this node: every virtual IP and node port leads to one of the Service's pods.

It watches Services and EndpointSlices and writes chains KUBE-SERVICES, KUBE-SVC-…, KUBE-SEP-… and a few more
into iptables' nat and filter tables; look at them with iptables-save. It never touches others' rules, and
puts its own back when somebody flushes them. The rules stay when it stops, so traffic goes on."""

EPILOG = """\
examples:
  python -m proxy --kubeconfig .cluster/proxy.kubeconfig
  python -m proxy --cleanup          take all rules, the sink device and its route away"""


def main() -> int:
    arguments = component.parser("proxy", DESCRIPTION, epilog=EPILOG)
    arguments.add_argument("--kubeconfig", metavar="FILE", help="how to reach the API server, and as whom")
    arguments.add_argument(
        "--cluster-cidr", metavar="CIDR", default="172.17.0.0/16", help="the pods' addresses (default %(default)s)"
    )
    arguments.add_argument(
        "--service-cidr", metavar="CIDR", default="172.30.0.0/16", help="the Services' addresses (default %(default)s)"
    )
    arguments.add_argument(
        "--hostname-override",
        metavar="NODE",
        default=socket.gethostname().lower(),
        help="this node's name in the API, which tells local endpoints from others (default %(default)s)",
    )
    component.add_healthz(arguments, "127.0.0.1:10256")
    arguments.add_argument("--cleanup", action="store_true", help="remove everything that the proxy has made, then end")
    options = arguments.parse_args()
    component.setup_logging(options.verbose)
    try:
        if options.cleanup:
            from proxy.cleanup import cleanup

            cleanup()
            return 0
        if not options.kubeconfig:
            arguments.error("--kubeconfig is needed (or --cleanup)")
        return run(options.kubeconfig, options.cluster_cidr, options.service_cidr, options.hostname_override,
                   options.healthz_bind_address)  # fmt: skip
    except PermissionError as error:
        component.fatal(f"{error}. The proxy needs root.")
    except (RuleError, OSError) as error:
        component.fatal(str(error))


def run(kubeconfig: str, cluster_cidr: str, service_cidr: str, node: str, healthz: str) -> int:
    """The proxy, until a signal."""
    from machinery.client import Client
    from machinery.informer import Informers
    from machinery.kubeconfig import KubeconfigError
    from machinery.resources import ENDPOINT_SLICES, SERVICES
    from proxy import monitor, network
    from proxy.rules import Config
    from proxy.sync import CHECK_SECONDS, CHECK_SECONDS_UNTOLD, Loop, RuleSync

    stop = component.stop_on_signals()
    try:
        client = Client.from_kubeconfig(kubeconfig, user_agent="kube-proxy")
    except KubeconfigError as error:
        component.fatal(str(error))
    informers = Informers(client)
    services, slices = informers.of(SERVICES), informers.of(ENDPOINT_SLICES)
    iptables = Iptables()
    told = iptables.announces_changes
    rules = RuleSync(services, slices, iptables, Config(cluster_cidr, service_cidr), node)
    ensure_network = functools.partial(network.ensure_apart, service_cidr, cluster_cidr)
    ensuring = network.start_ensuring(service_cidr, cluster_cidr)
    loop = Loop(rules, ensure_network, check_seconds=CHECK_SECONDS if told else CHECK_SECONDS_UNTOLD)
    loop.watch(services, slices)
    component.serve_health(healthz, lambda: loop.problem)
    informers.start(stop)
    # Before the first rule, so that no packet to a VIP ever leaves this machine.
    network.finish_ensuring(ensuring)
    log.info("node %s, %s, pods %s, Services %s", node, iptables.version, cluster_cidr, service_cidr)
    while not informers.wait_synced(1.0):
        if stop.is_set():
            return 0
    if told:
        monitor.watch_rules(loop.suspect, iptables.was_own, stop)
    monitor.watch_links(loop.suspect, stop)
    loop.run(stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
