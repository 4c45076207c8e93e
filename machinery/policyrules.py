"""The PolicyRules of RBAC roles in a short form, for the tables of default roles and of what controllers may do."""

from __future__ import annotations

from machinery.objects import Object

Rule = Object

CORE, APPS, EXTENSIONS, BATCH, AUTOSCALING, POLICY = "", "apps", "extensions", "batch", "autoscaling", "policy"
AUTHENTICATION, AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"
CERTIFICATES, COORDINATION, DISCOVERY = "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io"
EVENTS, METRICS, NETWORKING, STORAGE = "events.k8s.io", "metrics.k8s.io", "networking.k8s.io", "storage.k8s.io"

READ = "get list watch"
WRITE = "create delete deletecollection patch update"


def can(verbs: str, resources: str, *groups: str, names: str = "") -> Rule:
    """Return a rule about resources, of the core group unless groups are named.

    Verbs, resources (``pods``, ``pods/status``) and resource names are separated by spaces.
    """
    rule: Rule = {
        "verbs": sorted(verbs.split()),
        "apiGroups": sorted(groups or [CORE]),
        "resources": sorted(resources.split()),
    }
    return {**rule, "resourceNames": names.split()} if names else rule


WRITE_EVENTS = can("create patch update", "events", CORE, EVENTS)
REVIEW_TOKENS = can("create", "tokenreviews", AUTHENTICATION)
REVIEW_ACCESS = can("create", "subjectaccessreviews", AUTHORIZATION)
