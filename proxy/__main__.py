"""kube-proxy's flags, and the wiring of its parts."""

from __future__ import annotations

import functools
import logging
import socket
from dataclasses import dataclass

from machinery import component, flags
from machinery.extras import MissingExtra, require
from machinery.flags import flag
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


@dataclass(frozen=True, kw_only=True)
class Flags:
    kubeconfig: str = flags.kubeconfig("")
    cluster_cidr: str = flag("172.17.0.0/16", "the pods' addresses", metavar="CIDR")
    service_cidr: str = flag("172.30.0.0/16", "the Services' addresses", metavar="CIDR")
    hostname_override: str = flag(
        socket.gethostname().lower(),
        "this node's name in the API, which tells local endpoints from others",
        metavar="NODE",
    )
    healthz_bind_address: str = flags.healthz_bind_address("127.0.0.1:10256")
    cleanup: bool = flag(False, "remove everything that the proxy has made, then end")
    verbose: bool = flags.verbose()


def main() -> None:
    parser = flags.parser(Flags, "proxy", DESCRIPTION, epilog=EPILOG)
    options = flags.parse(parser, Flags)
    component.setup_logging(options.verbose)
    try:
        require("cluster", "pyroute2")
        if options.cleanup:
            from proxy.cleanup import cleanup

            cleanup()
            return
        if not options.kubeconfig:
            parser.error("--kubeconfig is needed (or --cleanup)")
        run(options)
    except PermissionError as error:
        component.fatal(f"{error}. The proxy needs root.")
    except (RuleError, OSError, MissingExtra) as error:
        component.fatal(str(error))


def run(options: Flags) -> None:
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
