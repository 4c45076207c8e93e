"""The API server's flags, with upstream's names, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from machinery import flags
from machinery.flags import flag

# --etcd-servers=memory, or memory:FILE.
MEMORY = "memory"
DEBUG = 4  # the verbosity from which every decision is logged


@dataclass(frozen=True, kw_only=True)
class Config:
    etcd_servers: str = flag(
        MEMORY, "http://host:port, unix:/path/etcd.sock:0, memory: forget all on exit, or memory:FILE: write it there"
    )
    bind_addresses: tuple[str, ...] = flag(
        ("127.0.0.1",), "an address to listen on; may be repeated", names=("--bind-address",), action="append"
    )
    secure_port: int = flag(6443, "the port to listen on; 0 takes a free one")
    advertise_address: str = flag("127.0.0.1", "what the Service kubernetes leads to; pods must reach it")
    tls_cert_file: Path | None = flag(None, "the server's certificate; read again when it is renewed")
    tls_private_key_file: Path | None = flag(None, "its key")
    client_ca_file: Path | None = flag(None, "who signs client certificates; CN is the user and O the groups")
    token_auth_file: Path | None = flag(None, 'lines of token,user,uid,"group,group"')
    service_account_key_file: Path | None = flag(None, "the public key that ServiceAccount tokens are checked with")
    service_account_signing_key_file: Path | None = flag(None, "the private key that they are signed with")
    service_account_issuer: str = flag("https://kubernetes.default.svc", "the issuer named in them")
    service_account_max_token_expiration: int = flag(0, "0 is as long as asked", metavar="SECONDS")
    service_account_extend_token_expiration: bool = flag(
        True, "a pod's own token is good for a year, in case that its program reads it only once"
    )
    service_account_jwks_uri: str = flag("", "where verifiers of tokens find the keys; this server if empty")
    api_audiences: tuple[str, ...] = flag((), "audiences of tokens for this server; the issuer if empty")
    features: tuple[str, ...] = flag(("*",), "optional parts: * all, none, -x all but x; see docs/reading.md")
    disable_admission_plugins: tuple[str, ...] = flag((), "plugins to leave out; without ServiceAccount pods need none")
    service_cluster_ip_range: str = flag("172.30.0.0/16", "where Services' VIPs are from")
    service_node_port_range: str = flag("30000-32767", "first-last port of NodePort Services")
    kubelet_client_certificate: Path | None = flag(None, "what this server shows to kubelets (logs, exec)")
    kubelet_client_key: Path | None = flag(None, "its key")
    kubelet_certificate_authority: Path | None = flag(None, "who signs kubelets' serving certificates")
    request_timeout: float = flag(60.0, "what a request may take to be read")
    workers: int = flag(2, "processes; --etcd-servers=memory allows one")
    verbosity: int = flag(
        0,
        "how much is logged: 0 slow requests, 2 also those that write, 3 all, 4 every decision",
        names=("-v", "--v", "--verbose"),
        metavar="LEVEL",
        nargs="?",
        const=DEBUG,
    )

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
    """Return what the command line says; end the process with a message if it is wrong."""
    parser = flags.parser(
        Config, "apiserver", "The Kubernetes API on etcd, over HTTPS. Clients show a certificate or a bearer token."
    )
    config = flags.parse(parser, Config, arguments)
    if bool(config.tls_cert_file) != bool(config.tls_private_key_file):
        parser.error("--tls-cert-file and --tls-private-key-file belong together")
    if config.in_memory and config.workers != 1:
        parser.error("--etcd-servers=memory keeps the objects in one process: add --workers=1, or name an etcd")
    return config
