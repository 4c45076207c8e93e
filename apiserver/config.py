"""The API server's flags, with upstream's names, as one value."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from machinery.durations import seconds

# --etcd-servers=memory, or memory:FILE.
MEMORY = "memory"
DEBUG = 4  # the verbosity from which every decision is logged


@dataclass(frozen=True)
class Config:
    """See ``parse_config`` for what each field means."""

    etcd_servers: str = MEMORY
    bind_addresses: tuple[str, ...] = ("127.0.0.1",)
    secure_port: int = 6443
    advertise_address: str = "127.0.0.1"
    tls_cert_file: Path | None = None
    tls_private_key_file: Path | None = None
    client_ca_file: Path | None = None
    token_auth_file: Path | None = None
    service_account_key_file: Path | None = None
    service_account_signing_key_file: Path | None = None
    service_account_issuer: str = "https://kubernetes.default.svc"
    service_account_max_token_expiration: int = 0
    service_account_extend_token_expiration: bool = True
    service_account_jwks_uri: str = ""
    api_audiences: tuple[str, ...] = ()
    features: tuple[str, ...] = ("*",)
    disable_admission_plugins: tuple[str, ...] = ()
    service_cluster_ip_range: str = "172.30.0.0/16"
    service_node_port_range: str = "30000-32767"
    kubelet_client_certificate: Path | None = None
    kubelet_client_key: Path | None = None
    kubelet_certificate_authority: Path | None = None
    controllers_healthz: str = "http://127.0.0.1:10257/healthz"
    request_timeout: float = 60.0
    workers: int = 2
    verbosity: int = 0

    @property
    def in_memory(self) -> bool:
        """Whether the objects are kept by this process itself."""
        return self.etcd_servers.partition(":")[0] == MEMORY

    @property
    def memory_file(self) -> Path | None:
        """Where the objects outlive it."""
        file = self.etcd_servers.partition(":")[2] if self.in_memory else ""
        return Path(file) if file else None

    @property
    def blocks(self) -> int:
        """How many workers there may be at a time: a successor may start before its predecessor has gone."""
        return 2 * self.workers

    @property
    def audiences(self) -> tuple[str, ...]:
        """Who a ServiceAccount's token must be for; the issuer when not said otherwise."""
        return self.api_audiences or (self.service_account_issuer,)


def parse_config(arguments: list[str] | None = None) -> Config:
    """Reads the command line; exits with a message when it is wrong."""
    parser = argparse.ArgumentParser(
        "apiserver",
        description="The Kubernetes API on etcd, over HTTPS. Clients show a certificate or a bearer token.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--etcd-servers",
        default=MEMORY,
        help="http://host:port, unix:/path/etcd.sock:0, memory: forget all on exit, or memory:FILE: write it there",
    )
    add("--bind-address", action="append", help="an address to listen on; may be repeated (127.0.0.1)")
    add("--secure-port", type=int, default=6443, help="0 takes a free one")
    add("--advertise-address", default="127.0.0.1", help="what the Service kubernetes leads to; pods must reach it")
    add("--tls-cert-file", type=Path, help="the server's certificate; read again when it is renewed")
    add("--tls-private-key-file", type=Path, help="its key")
    add("--client-ca-file", type=Path, help="who signs client certificates; CN is the user and O the groups")
    add("--token-auth-file", type=Path, help='lines of token,user,uid,"group,group"')
    add("--service-account-key-file", type=Path, help="the public key that ServiceAccount tokens are checked with")
    add("--service-account-signing-key-file", type=Path, help="the private key that they are signed with")
    add("--service-account-issuer", default=Config.service_account_issuer, help="the issuer named in them")
    add("--service-account-max-token-expiration", type=int, default=0, metavar="SECONDS", help="0 is as long as asked")
    add(
        "--service-account-extend-token-expiration",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="a pod's own token is good for a year, in case that its program reads it only once",
    )
    add("--service-account-jwks-uri", default="", help="where verifiers of tokens find the keys; this server if empty")
    add("--api-audiences", default="", help="comma-separated audiences of tokens for this server; the issuer if empty")
    add("--features", default="*", help="comma-separated optional parts: * all, none, -x all but x; docs/reading.md")
    add("--disable-admission-plugins", default="", help="comma-separated; without ServiceAccount pods need none")
    add("--service-cluster-ip-range", default=Config.service_cluster_ip_range, help="where Services' VIPs are from")
    add(
        "--service-node-port-range", default=Config.service_node_port_range, help="first-last port of NodePort Services"
    )
    add("--kubelet-client-certificate", type=Path, help="what this server shows to kubelets (logs, exec)")
    add("--kubelet-client-key", type=Path, help="its key")
    add("--kubelet-certificate-authority", type=Path, help="who signs kubelets' serving certificates")
    add("--controllers-healthz", default=Config.controllers_healthz, help="where componentstatuses ask for them")
    add("--request-timeout", type=seconds, default=Config.request_timeout, help="what a request may take to be read")
    add("--workers", type=int, default=2, help="processes; --etcd-servers=memory allows one")
    add(
        "-v",
        "--v",
        "--verbose",
        dest="verbosity",
        metavar="LEVEL",
        type=int,
        nargs="?",
        const=DEBUG,
        default=0,
        help="how much is logged: 0 slow requests, 2 also those that write, 3 all, 4 every decision",
    )
    given = vars(parser.parse_args(arguments))
    addresses = tuple(given.pop("bind_address") or Config.bind_addresses)
    audiences = tuple(name for name in given.pop("api_audiences").split(",") if name)
    features = tuple(name for name in given.pop("features").split(",") if name)
    disabled = tuple(name for name in given.pop("disable_admission_plugins").split(",") if name)
    config = Config(
        bind_addresses=addresses,
        api_audiences=audiences,
        features=features,
        disable_admission_plugins=disabled,
        **given,
    )
    if bool(config.tls_cert_file) != bool(config.tls_private_key_file):
        parser.error("--tls-cert-file and --tls-private-key-file belong together")
    if config.in_memory and config.workers != 1:
        parser.error("--etcd-servers=memory keeps the objects in one process: add --workers=1, or name an etcd")
    return config
