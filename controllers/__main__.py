"""``python -m controllers``: the controller manager and scheduler of the cluster."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from controllers.manager.identities import USER_AGENT, Identities
from controllers.manager.manager import Manager
from controllers.manager.rows import ROWS, roles_document, selected
from controllers.shared.options import Options
from machinery import component, kubeconfig
from machinery.client import Client
from machinery.durations import seconds
from machinery.kubeconfig import ClientConfig, KubeconfigError

log = logging.getLogger("controllers")


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = component.parser(
        "controllers",
        "Brings what is in the cluster to what its objects ask for: one reconciler for each kind, and the scheduler.",
        epilog="Controllers: " + ", ".join(row.name for row in ROWS),
    )
    component.add_kubeconfig(parser)
    parser.add_argument("--scheduler-kubeconfig", metavar="FILE", default="", help="the scheduler's own (--kubeconfig)")
    parser.add_argument(
        "--use-service-account-credentials",
        action="store_true",
        help="each controller writes as a service account of its own, with no more rights than it needs",
    )
    component.add_healthz(parser, "127.0.0.1:10257")
    parser.add_argument("--root-ca-file", metavar="FILE", default="", help="certificate authority for pods to trust")
    parser.add_argument(
        "--cluster-signing-cert-file", metavar="FILE", default="", help="the authority that signs certificate requests"
    )
    parser.add_argument("--cluster-signing-key-file", metavar="FILE", default="", help="its key")
    parser.add_argument(
        "--cluster-signing-duration",
        metavar="DURATION",
        type=seconds,
        default=Options.cluster_signing_duration,
        help="how long such certificates are good, at most (default %(default)g seconds)",
    )
    parser.add_argument(
        "--legacy-service-account-tokens",
        action="store_true",
        help="give each service account a Secret with a lasting token, as upstream did before v1.24",
    )
    parser.add_argument(
        "--controllers",
        metavar="LIST",
        default="*",
        help="which to run: names, * (all), core (what the article needs), -name (not that one; default %(default)s)",
    )
    parser.add_argument(
        "--node-monitor-grace-period",
        metavar="SECONDS",
        type=seconds,
        default=Options.node_monitor_grace_period,
        help="how long a node may be silent before it is unreachable (default %(default)g)",
    )
    parser.add_argument(
        "--terminated-pod-gc-threshold",
        metavar="COUNT",
        type=int,
        default=Options.terminated_pod_gc_threshold,
        help="how many ended pods are kept; 0 keeps all (default %(default)s)",
    )
    parser.add_argument(
        "--concurrent-gc-syncs",
        metavar="COUNT",
        type=int,
        default=Options.concurrent_gc_syncs,
        help="workers of the garbage collector (default %(default)s)",
    )
    parser.add_argument(
        "--print-roles",
        action=PrintRoles,
        nargs=0,
        help="print the rules of the controllers' ClusterRoles, for apiserver/authorization/controllerroles.json",
    )
    return parser.parse_args(argv)


class PrintRoles(argparse.Action):
    """Prints the roles and ends the process, as --help does."""

    def __call__(self, *_: object) -> None:
        sys.stdout.write(roles_document())
        raise SystemExit(0)


def access_of(flag: str, file: str) -> ClientConfig:
    """What a kubeconfig says; ends the process with a message when it cannot be used."""
    try:
        return kubeconfig.client_config(file)
    except (OSError, KubeconfigError) as error:
        component.fatal(f"{flag} {file}: {error}")


def main(argv: list[str] | None = None) -> int:
    """Runs until SIGTERM."""
    given = arguments(argv)
    component.setup_logging(given.verbose)
    try:
        rows = selected(given.controllers.split(","))
    except ValueError as error:
        component.fatal(f"--controllers: {error}")
    if bool(given.cluster_signing_cert_file) != bool(given.cluster_signing_key_file):
        component.fatal("--cluster-signing-cert-file and --cluster-signing-key-file belong together")
    for flag in ("root_ca_file", "cluster_signing_cert_file", "cluster_signing_key_file"):
        file = getattr(given, flag)
        if file and not Path(file).is_file():
            component.fatal(f"--{flag.replace('_', '-')}: there is no file {file}")
    options = Options(
        root_ca_file=given.root_ca_file,
        cluster_signing_cert_file=given.cluster_signing_cert_file,
        cluster_signing_key_file=given.cluster_signing_key_file,
        cluster_signing_duration=given.cluster_signing_duration,
        legacy_service_account_tokens=given.legacy_service_account_tokens,
        node_monitor_grace_period=given.node_monitor_grace_period,
        terminated_pod_gc_threshold=given.terminated_pod_gc_threshold,
        concurrent_gc_syncs=given.concurrent_gc_syncs,
    )
    stop = component.stop_on_signals()
    access = access_of("--kubeconfig", given.kubeconfig)
    scheduler = access_of("--scheduler-kubeconfig", given.scheduler_kubeconfig) if given.scheduler_kubeconfig else None
    client = Client(access, user_agent=USER_AGENT)
    identities = Identities(access, client, scheduler, with_accounts=given.use_service_account_credentials)
    manager = Manager(client, rows, options, identities.client_of)
    component.serve_health(given.healthz_bind_address, manager.problem)
    manager.start(stop)
    stop.wait()
    manager.close()
    if manager.fault:
        component.fatal(manager.fault)
    log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
