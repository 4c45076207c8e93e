"""``python -m controllers``: the controller manager and scheduler of the cluster."""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

from controllers.manager.identities import USER_AGENT, Identities
from controllers.manager.manager import Manager
from controllers.manager.rows import ROWS, roles_document, selected
from controllers.shared.options import ControllerOptions
from machinery import component, flags, kubeconfig
from machinery.client import Client
from machinery.flags import flag
from machinery.kubeconfig import ClientConfig, KubeconfigError

log = logging.getLogger("controllers")


@dataclass(frozen=True, kw_only=True)
class Flags(ControllerOptions):
    """The flags of the process, beside those that the controllers read."""

    kubeconfig: str = flags.kubeconfig()
    scheduler_kubeconfig: str = flag("", "the scheduler's own; --kubeconfig if empty", metavar="FILE")
    use_service_account_credentials: bool = flag(
        False, "each controller writes as a service account of its own, with no more rights than it needs"
    )
    controllers: tuple[str, ...] = flag(
        ("*",), "which to run: names, * (all), core (what the article needs), -name (not that one)"
    )
    healthz_bind_address: str = flags.healthz_bind_address("127.0.0.1:10257")
    verbose: bool = flags.verbose()


def arguments(argv: list[str] | None = None) -> Flags:
    parser = flags.parser(
        Flags,
        "controllers",
        "Brings what is in the cluster to what its objects ask for: one reconciler for each kind, and the scheduler.",
        epilog="Controllers: " + ", ".join(ROWS),
    )
    parser.add_argument(
        "--print-roles",
        action=PrintRoles,
        nargs=0,
        help="print the rules of the controllers' ClusterRoles, for apiserver/authorization/controllerroles.json",
    )
    return flags.parse(parser, Flags, argv)


class PrintRoles(argparse.Action):
    """An option that prints the roles and ends the process, as --help does."""

    def __call__(self, *_: object) -> None:
        sys.stdout.write(roles_document())
        raise SystemExit(0)


def access_of(flag: str, file: str) -> ClientConfig:
    """Read a kubeconfig. If it cannot be used, end the process with a message."""
    try:
        return kubeconfig.client_config(file)
    except (OSError, KubeconfigError) as error:
        component.fatal(f"{flag} {file}: {error}")


def main(argv: list[str] | None = None) -> int:
    """Run the controllers until SIGTERM; return the exit status."""
    given = arguments(argv)
    component.setup_logging(given.verbose)
    try:
        rows = selected(list(given.controllers))
    except ValueError as error:
        component.fatal(f"--controllers: {error}")
    if bool(given.cluster_signing_cert_file) != bool(given.cluster_signing_key_file):
        component.fatal("--cluster-signing-cert-file and --cluster-signing-key-file belong together")
    for name in ("root_ca_file", "cluster_signing_cert_file", "cluster_signing_key_file"):
        file = getattr(given, name)
        if file and not Path(file).is_file():
            component.fatal(f"--{name.replace('_', '-')}: there is no file {file}")
    stop = component.stop_on_signals()
    access = access_of("--kubeconfig", given.kubeconfig)
    scheduler = access_of("--scheduler-kubeconfig", given.scheduler_kubeconfig) if given.scheduler_kubeconfig else None
    client = Client(access, user_agent=USER_AGENT)
    identities = Identities(access, client, scheduler, with_accounts=given.use_service_account_credentials)
    manager = Manager(client, rows, given, identities.client_of)
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
