"""What this machine is and has: capacity, versions and pressure, read from /proc, /sys and /etc. Linux only."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import platform
import shutil
import socket
import struct
from pathlib import Path
from typing import Any

MOST_PODS = 110
KUBELET_VERSION = "v1.32.0"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}

# What upstream keeps back from pods so that it can still evict in time.
MEMORY_RESERVE = 100 * 1024 * 1024
STORAGE_RESERVE = 0.1
# Below these the node says that it is under pressure.
LEAST_MEMORY = MEMORY_RESERVE
LEAST_STORAGE = 0.01
LEAST_PIDS = 0.02

_SIOCGIFADDR, _SIOCGIFNETMASK = 0x8915, 0x891B


def architecture() -> str:
    return ARCHITECTURES.get(platform.machine(), platform.machine())


def memory() -> int:
    return _meminfo("MemTotal")


def capacity(root: Path) -> dict[str, str]:
    return {
        "cpu": str(os.cpu_count() or 1),
        "ephemeral-storage": f"{shutil.disk_usage(root).total // 1024}Ki",
        "memory": f"{memory() // 1024}Ki",
        "pods": str(MOST_PODS),
    }


def allocatable(root: Path) -> dict[str, str]:
    storage = int(shutil.disk_usage(root).total * (1 - STORAGE_RESERVE))
    return {
        **capacity(root),
        "ephemeral-storage": str(storage),
        "memory": f"{(memory() - MEMORY_RESERVE) // 1024}Ki",
    }


def node_info(runtime_version: str) -> dict[str, Any]:
    return {
        "architecture": architecture(),
        "bootID": _read("/proc/sys/kernel/random/boot_id"),
        "containerRuntimeVersion": f"docker://{runtime_version}" if runtime_version else "docker://",
        "kernelVersion": platform.release(),
        "kubeProxyVersion": KUBELET_VERSION,
        "kubeletVersion": KUBELET_VERSION,
        "machineID": _read("/etc/machine-id"),
        "operatingSystem": "linux",
        "osImage": platform.freedesktop_os_release().get("PRETTY_NAME", "Linux"),
        "systemUUID": _read("/sys/class/dmi/id/product_uuid") or _read("/etc/machine-id"),
    }


def cpu_seconds() -> float:
    """Return the seconds that all processors of the machine have worked since it started."""
    user, nice, system, _idle, _iowait, *others = map(int, _read("/proc/stat").splitlines()[0].split()[1:])
    # The guests' time behind the first three others (irq, softirq, steal) is in user and nice already.
    return (user + nice + system + sum(others[:3])) / os.sysconf("SC_CLK_TCK")


def memory_in_use() -> int:
    """Return the bytes of memory in use, without cached files that the kernel gives up first (cadvisor's working
    set).
    """
    return max(0, memory() - _meminfo("MemFree") - _meminfo("Inactive(file)"))


def has_memory() -> bool:
    return _meminfo("MemAvailable") >= LEAST_MEMORY


def has_storage(root: Path) -> bool:
    usage = shutil.disk_usage(root)
    return usage.free >= usage.total * LEAST_STORAGE


def has_pids() -> bool:
    most = min(int(_read("/proc/sys/kernel/pid_max")), int(_read("/proc/sys/kernel/threads-max")))
    running = int(_read("/proc/loadavg").split()[3].partition("/")[2])
    return most - running >= most * LEAST_PIDS


def network_of(address: str) -> str:
    """Return the network of the interface with this address, e.g. 172.17.0.0/16 for docker0; "" if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                own = socket.inet_ntoa(fcntl.ioctl(probe, _SIOCGIFADDR, request)[20:24])
                mask = socket.inet_ntoa(fcntl.ioctl(probe, _SIOCGIFNETMASK, request)[20:24])
            except OSError:
                continue  # this one has no IPv4 address
            if own == address:
                return str(ipaddress.ip_network(f"{address}/{mask}", strict=False))
    return ""


def _meminfo(field: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0


def _read(path: str) -> str:
    file = Path(path)
    return file.read_text().strip() if file.is_file() else ""
