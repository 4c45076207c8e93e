"""Names inside of a pod: host name, /etc/hosts and /etc/resolv.conf, as upstream writes them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from kubelet.model import podspec
from machinery.objects import Object

HOSTS_HEADER = "# Kubernetes-managed hosts file.\n"
HOST_NETWORK_HEADER = "# Kubernetes-managed hosts file (host network).\n"
LOCAL_HOSTS = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::0\tip6-localnet\n"
    "fe00::0\tip6-mcastprefix\n"
    "fe00::1\tip6-allnodes\n"
    "fe00::2\tip6-allrouters\n"
)
# What a resolver takes, as upstream checks it before it writes the file.
LONGEST_HOST_NAME = 63
MOST_SEARCHES = 32
MOST_NAMESERVERS = 3


@dataclass(frozen=True, slots=True)
class ClusterDns:
    """The cluster's DNS servers, and the domain below which Services have their names."""

    servers: tuple[str, ...]
    domain: str


def hostname(pod: Object) -> str:
    spec = pod["spec"]
    return str(spec.get("hostname") or pod["metadata"]["name"])[:LONGEST_HOST_NAME].rstrip("-.")


def domain(pod: Object, dns: ClusterDns) -> str:
    """Return what follows the host name in the pod's FQDN, "" for a pod without a subdomain."""
    subdomain = pod["spec"].get("subdomain")
    return f"{subdomain}.{pod['metadata']['namespace']}.svc.{dns.domain}" if subdomain else ""


def kernel_hostname(pod: Object, dns: ClusterDns) -> str:
    suffix = domain(pod, dns)
    full = pod["spec"].get("setHostnameAsFQDN") and suffix
    return f"{hostname(pod)}.{suffix}" if full else hostname(pod)


def hosts_file(pod: Object, address: str, dns: ClusterDns, host_file: str) -> str:
    if podspec.is_host_network(pod):
        text = HOST_NETWORK_HEADER + host_file
    else:
        suffix = domain(pod, dns)
        names = f"{hostname(pod)}.{suffix}\t{hostname(pod)}" if suffix else hostname(pod)
        text = f"{HOSTS_HEADER}{LOCAL_HOSTS}{address}\t{names}\n"
    return text + _aliases(pod)


def _aliases(pod: Object) -> str:
    aliases = pod["spec"].get("hostAliases", [])
    if not aliases:
        return ""
    rows = ["\t".join([alias["ip"], *alias.get("hostnames", [])]) for alias in aliases]
    return "\n# Entries added by HostAliases.\n" + "".join(f"{row}\n" for row in rows)


def resolv_conf(pod: Object, dns: ClusterDns, host_file: str) -> str:
    """Return the text of /etc/resolv.conf; ``host_file`` is the node's.

    With the policy ClusterFirst it names the cluster's DNS, with Default the node's servers, with None only what
    dnsConfig says.
    """
    servers, searches, options = _parse(host_file)
    match _policy(pod):
        case "None":
            servers, searches, options = [], [], {}
        case "ClusterFirst" if dns.servers:
            namespace = pod["metadata"]["namespace"]
            own = [f"{namespace}.svc.{dns.domain}", f"svc.{dns.domain}", dns.domain]
            servers, searches, options = list(dns.servers), own + searches, {"ndots": "5"}
    config = pod["spec"].get("dnsConfig", {})
    servers += config.get("nameservers", [])
    searches += config.get("searches", [])
    options |= {option["name"]: option.get("value") or "" for option in config.get("options", [])}
    return _render(_unique(servers)[:MOST_NAMESERVERS], _unique(searches)[:MOST_SEARCHES], options)


def _policy(pod: Object) -> str:
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst" and podspec.is_host_network(pod):
        return "Default"
    return "ClusterFirst" if policy == "ClusterFirstWithHostNet" else str(policy)


def _parse(text: str) -> tuple[list[str], list[str], dict[str, str]]:
    servers: list[str] = []
    searches: list[str] = []
    options: dict[str, str] = {}
    for line in text.splitlines():
        match line.split():
            case ["nameserver", server, *_]:
                servers.append(server)
            case ["search", *domains]:
                searches = domains
            case ["options", *given]:
                options = dict(option.partition(":")[::2] for option in given)
    return servers, [search for search in searches if search != "."], options


def _render(servers: list[str], searches: list[str], options: dict[str, str]) -> str:
    lines = [f"nameserver {server}\n" for server in servers]
    if searches:
        lines.insert(0, f"search {' '.join(searches)}\n")
    if options:
        shown = (f"{name}:{value}" if value else name for name, value in options.items())
        lines.append(f"options {' '.join(shown)}\n")
    return "".join(lines)


def _unique(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))
