"""Find out whether this machine can run a cluster: ``gather`` collects facts, ``judge`` (no I/O) judges them.

Each finding is one line; one that is a problem says what to do about it. What can be repaired safely (IP forwarding,
iptables for bridged packets), ``repair`` does.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from cluster import lock, packages
from cluster.docker import Engine, EngineError
from cluster.processes import PROC, all_pids
from cluster.settings import (
    API_PORT,
    CONTROLLERS_HEALTH_PORT,
    KUBELET_HEALTH_PORT,
    KUBELET_PORT,
    PROXY_HEALTH_PORT,
)

PORTS = (API_PORT, KUBELET_PORT, KUBELET_HEALTH_PORT, PROXY_HEALTH_PORT, CONTROLLERS_HEALTH_PORT)
IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
BRIDGE_NF = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
FOREIGN_PROGRAMS = ("kube-proxy", "kubelet", "k3s", "k0s", "rke2", "microk8s", "kube-apiserver", "hyperkube")

# Feature of netfilter → a rule that needs it, as the proxy writes one. They are tried in a network namespace of their
# own, which is removed with the process.
FEATURES = {
    "nat, DNAT": "*nat\n:X -\n-A X -p tcp -m tcp -j DNAT --to-destination 127.0.0.1:80\nCOMMIT\n",
    "comment": "*nat\n:X -\n-A X -m comment --comment x -j RETURN\nCOMMIT\n",
    "statistic": "*nat\n:X -\n-A X -m statistic --mode random --probability 0.5 -j RETURN\nCOMMIT\n",
    "mark, MARK": "*nat\n:X -\n-A X -m mark --mark 0x4000/0x4000 -j MARK --set-xmark 0x4000/0x4000\nCOMMIT\n",
    "MASQUERADE": "*nat\n:X -\n-A X -j MASQUERADE\nCOMMIT\n",
    "addrtype": "*nat\n:X -\n-A X -m addrtype --dst-type LOCAL -j RETURN\nCOMMIT\n",
    "recent": "*nat\n:X -\n-A X -m recent --name x --rcheck --seconds 9 --reap -j RETURN\nCOMMIT\n",
    "conntrack": "*filter\n:X -\n-A X -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n",
    "REJECT": "*filter\n:X -\n-A X -j REJECT\nCOMMIT\n",
}


@dataclass(frozen=True)
class Facts:
    """What was found on this machine; the defaults describe one without problems."""

    root: bool = True
    missing_packages: list[str] = field(default_factory=list)
    docker: str | None = "20.10"  # the engine's version, None when none answers
    iptables: str = "nf_tables"  # or "legacy"; empty when there is no iptables
    docker_rules_elsewhere: bool = False  # in the tables of the other iptables
    missing_features: list[str] = field(default_factory=list)
    ip_forward: bool = True
    bridge_nf: bool | None = True  # None: the kernel does not have the module loaded
    busy_ports: dict[int, str] = field(default_factory=dict)  # port → who listens
    kube_chains: int = 0
    chains_are_ours: bool = True
    foreign_programs: list[str] = field(default_factory=list)


class Level(Enum):
    OK = "ok"
    REPAIR = "repair"  # a problem that is repaired without asking
    WARNING = "warning"
    FAILURE = "failure"


class Finding(NamedTuple):
    level: Level
    text: str
    remedy: str = ""


def judge(facts: Facts) -> list[Finding]:
    """Return the findings, the worst last."""
    if not facts.root:
        return [Finding(Level.FAILURE, "this needs root", "run it again with sudo: sudo make up")]
    findings = [
        *_judge_programs(facts),
        *_judge_kernel(facts),
        *_judge_ports(facts),
        *_judge_chains(facts),
    ]
    return sorted(findings, key=lambda finding: list(Level).index(finding.level))


def _judge_programs(facts: Facts) -> list[Finding]:
    if facts.missing_packages:
        text = f"missing packages: {' '.join(facts.missing_packages)}"
        return [Finding(Level.REPAIR, text, "apt-get install them")]
    if facts.docker is None:
        return [Finding(Level.REPAIR, "no Docker engine answers", "start one")]
    return [Finding(Level.OK, f"Docker {facts.docker}")]


def _judge_kernel(facts: Facts) -> list[Finding]:
    findings = []
    if facts.missing_features:
        names = ", ".join(facts.missing_features)
        remedy = "load the modules (modprobe nf_nat xt_statistic xt_comment …) or take a kernel that has them"
        findings.append(Finding(Level.FAILURE, f"the kernel's netfilter lacks {names}", remedy))
    elif facts.iptables:
        findings.append(Finding(Level.OK, f"netfilter through iptables ({facts.iptables})"))
    if facts.docker_rules_elsewhere:
        other = "legacy" if facts.iptables == "nf_tables" else "nft"
        text = f"iptables here speaks {facts.iptables}, but Docker's rules are in the {other} tables; both apply"
        remedy = f"update-alternatives --set iptables /usr/sbin/iptables-{other}, so that one listing shows all"
        findings.append(Finding(Level.WARNING, text, remedy))
    if not facts.ip_forward:
        findings.append(Finding(Level.REPAIR, "IP forwarding is off", "set net.ipv4.ip_forward=1"))
    if facts.bridge_nf is None:
        text = "bridged packets do not pass iptables (br_netfilter is not loaded)"
        findings.append(Finding(Level.REPAIR, text, "modprobe br_netfilter"))
    elif not facts.bridge_nf:
        text = "bridged packets do not pass iptables"
        findings.append(Finding(Level.REPAIR, text, "set net.bridge.bridge-nf-call-iptables=1"))
    return findings


def _judge_ports(facts: Facts) -> list[Finding]:
    return [
        Finding(Level.FAILURE, f"port {port} is taken by {who}", "stop that process")
        for port, who in sorted(facts.busy_ports.items())
    ]


def _judge_chains(facts: Facts) -> list[Finding]:
    if not facts.kube_chains:
        return []
    if facts.chains_are_ours:
        return [Finding(Level.OK, f"{facts.kube_chains} KUBE chains of ours, to be rewritten")]
    programs = ", ".join(facts.foreign_programs) or "no process of one is running"
    text = f"another cluster's {facts.kube_chains} KUBE chains are in iptables ({programs})"
    remedy = "stop that cluster and have it clean up (kubeadm reset, k3s-killall.sh …); they are left alone"
    return [Finding(Level.FAILURE, text, remedy)]


def gather(engine: Engine, *, ours_runs: bool) -> Facts:
    """Collect the facts. If a cluster of ours runs, ports and chains are its own and not looked at."""
    if os.geteuid() != 0:
        return Facts(root=False)
    missing = packages.missing()
    rules, variant, other_rules = "", "", ""
    if "iptables" not in missing:
        rules, variant, other_rules = _rules()
    return Facts(
        missing_packages=missing,
        docker=_docker_version(engine),
        iptables=variant,
        docker_rules_elsewhere=":DOCKER " not in rules and ":DOCKER " in other_rules,
        missing_features=_missing_features() if variant else [],
        ip_forward=IP_FORWARD.read_text().strip() == "1",
        bridge_nf=BRIDGE_NF.read_text().strip() == "1" if BRIDGE_NF.exists() else None,
        busy_ports={} if ours_runs else busy_ports(PORTS),
        kube_chains=0 if ours_runs else len(re.findall(r"^:KUBE-", rules + other_rules, re.MULTILINE)),
        chains_are_ours=lock.owner() is not None,
        foreign_programs=_foreign_programs(),
    )


def _docker_version(engine: Engine) -> str | None:
    try:
        return engine.version()
    except EngineError:
        return None


def _rules() -> tuple[str, str, str]:
    """Return what iptables-save prints, its variant, and what the other variant's iptables-save prints."""
    version = _output("iptables", "--version")
    variant = "nf_tables" if "nf_tables" in version else "legacy"
    other = "iptables-legacy-save" if variant == "nf_tables" else "iptables-nft-save"
    # The legacy tool loads the module of the legacy tables when it looks, so it is asked only if that is loaded.
    loaded = other == "iptables-nft-save" or (PROC / "net" / "ip_tables_names").exists()
    return _output("iptables-save"), variant, _output(other) if loaded and shutil.which(other) else ""


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _missing_features() -> list[str]:
    if _try_rules("".join(FEATURES.values())):
        return []
    return [name for name, rules in FEATURES.items() if not _try_rules(rules)]


def _try_rules(rules: str) -> bool:
    command = ["unshare", "--net", "iptables-restore", "--noflush"]
    return subprocess.run(command, input=rules, capture_output=True, text=True, check=False).returncode == 0


def busy_ports(ports: tuple[int, ...]) -> dict[int, str]:
    """Return those of the ports on which a process listens, each with the process."""
    inodes = {}
    for table in ("tcp", "tcp6"):
        for line in (PROC / "net" / table).read_text().splitlines()[1:]:
            fields = line.split()
            port = int(fields[1].rpartition(":")[2], 16)
            if fields[3] == "0A" and port in ports:
                inodes[fields[9]] = port
    return {port: _holder(inode) for inode, port in inodes.items()} if inodes else {}


def _holder(inode: str) -> str:
    for pid in all_pids():
        try:
            for descriptor in (PROC / str(pid) / "fd").iterdir():
                if str(descriptor.readlink()) == f"socket:[{inode}]":
                    name = (PROC / str(pid) / "comm").read_text().strip()
                    return f"{name} (process {pid})"
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # It has ended by now, or a sandbox hides it even from root.
    return "an unknown process"


def _foreign_programs() -> list[str]:
    found = set()
    for pid in all_pids():
        try:
            name = (PROC / str(pid) / "comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if name in FOREIGN_PROGRAMS:
            found.add(f"{name} (process {pid})")
    return sorted(found)


def repair(facts: Facts) -> list[str]:
    """Repair what can be repaired; return the remaining problems as lines."""
    problems = []
    if not facts.ip_forward:
        IP_FORWARD.write_text("1\n")
    if facts.bridge_nf is None and shutil.which("modprobe"):
        subprocess.run(["modprobe", "br_netfilter"], capture_output=True, check=False)
    if BRIDGE_NF.exists():
        BRIDGE_NF.write_text("1\n")
    else:
        problems.append("no br_netfilter in this kernel: a pod may not reach its own Service's VIP")
    return problems
