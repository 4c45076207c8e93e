"""kube-proxy's flags, and the wiring of its parts."""

from __future__ import annotations

import argparse
import functools
import logging
import socket

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


def main() -> None:
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
            return
        if not options.kubeconfig:
            arguments.error("--kubeconfig is needed (or --cleanup)")
        run(options)
    except PermissionError as error:
        component.fatal(f"{error}. The proxy needs root.")
    except (RuleError, OSError) as error:
        component.fatal(str(error))


def run(options: argparse.Namespace) -> None:
    """Run the proxy until SIGTERM or SIGINT."""
    from machinery.client import Client
    from machinery.informer import Informers
    from machinery.kubeconfig import KubeconfigError
    from machinery.resources import ENDPOINT_SLICES, SERVICES
    from proxy import monitor, network
    from proxy.rules import AddressRanges
    from proxy.sync import CHECK_SECONDS, CHECK_SECONDS_WITHOUT_MESSAGES, Proxier, SyncLoop

    node, cluster_cidr, service_cidr = options.hostname_override, options.cluster_cidr, options.service_cidr
    stop = component.stop_on_signals()
    try:
        client = Client.from_kubeconfig(options.kubeconfig, user_agent="kube-proxy")
    except KubeconfigError as error:
        component.fatal(str(error))
    informers = Informers(client)
    services, slices = informers.of(SERVICES), informers.of(ENDPOINT_SLICES)
    iptables = Iptables()
    has_messages = iptables.has_change_messages
    proxier = Proxier(services, slices, iptables, AddressRanges(cluster_cidr, service_cidr), node)
    ensure_network = functools.partial(network.ensure_in_process, service_cidr, cluster_cidr)
    ensuring = network.start_ensuring(service_cidr, cluster_cidr)
    check_seconds = CHECK_SECONDS if has_messages else CHECK_SECONDS_WITHOUT_MESSAGES
    loop = SyncLoop(proxier, ensure_network, check_seconds=check_seconds)
    loop.watch(services, slices)
    component.serve_health(options.healthz_bind_address, lambda: loop.problem)
    informers.start(stop)
    # The sink must be there before the first rule, so that no packet to a VIP ever leaves this machine.
    network.finish_ensuring(ensuring)
    log.info("node %s, %s, pods %s, Services %s", node, iptables.version, cluster_cidr, service_cidr)
    while not informers.wait_synced(1.0):
        if stop.is_set():
            return
    if has_messages:
        monitor.watch_rules(loop.check_soon, iptables.was_own, stop)
    monitor.watch_links(loop.check_soon, stop)
    loop.run(stop)


if __name__ == "__main__":
    main()
