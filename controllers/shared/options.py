"""What the command line of the controllers says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """The flags that controllers read; durations are in seconds, defaults are upstream's."""

    root_ca_file: str = ""
    cluster_signing_cert_file: str = ""
    cluster_signing_key_file: str = ""
    cluster_signing_duration: float = 365 * 24 * 3600.0
    legacy_service_account_tokens: bool = False
    node_monitor_grace_period: float = 40.0
    terminated_pod_gc_threshold: int = 12500
    concurrent_gc_syncs: int = 4
    orphaned_pod_quarantine: float = 40.0
