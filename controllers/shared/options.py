"""The options of the controllers."""

from __future__ import annotations

from dataclasses import dataclass

from machinery.flags import flag


@dataclass(frozen=True, kw_only=True)
class ControllerOptions:
    """The flags that controllers read; durations are in seconds, defaults are upstream's."""

    root_ca_file: str = flag("", "certificate authority for pods to trust", metavar="FILE")
    cluster_signing_cert_file: str = flag("", "the authority that signs certificate requests", metavar="FILE")
    cluster_signing_key_file: str = flag("", "its key", metavar="FILE")
    cluster_signing_duration: float = flag(365 * 24 * 3600.0, "how long such certificates are good, at most")
    legacy_service_account_tokens: bool = flag(
        False, "give each service account a Secret with a lasting token, as upstream did before v1.24"
    )
    node_monitor_grace_period: float = flag(40.0, "how long a node may be silent before it is unreachable")
    terminated_pod_gc_threshold: int = flag(12500, "how many ended pods are kept; 0 keeps all")
    concurrent_gc_syncs: int = flag(4, "workers of the garbage collector")
    orphaned_pod_quarantine: float = 40.0  # seconds; upstream has no flag for it either
