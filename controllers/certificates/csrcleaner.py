"""Remove old certificate requests (upstream: pkg/controller/certificates/cleaner)."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Iterator
from contextlib import suppress

from controllers.certificates.account import ACCOUNT, RULES
from controllers.shared.context import ControllerContext
from controllers.shared.descriptor import ControllerDescriptor, WatchedKind
from machinery.controller import Controller
from machinery.errors import Conflict, NotFound
from machinery.objects import Object, parse_time
from machinery.pemcertificates import check_certificates
from machinery.resources import CERTIFICATE_SIGNING_REQUESTS

log = logging.getLogger(__name__)

# Seconds for which a request is kept after it was decided, and for which one may wait for a decision.
DECIDED, PENDING = 3600.0, 24 * 3600.0


class CertificateCleaner:
    """Reconciles CertificateSigningRequests by their age."""

    def __init__(self, context: ControllerContext) -> None:
        self.client = context.client
        self.requests = context.informer(CERTIFICATE_SIGNING_REQUESTS)
        self.controller = Controller("csrcleaner", self.reconcile)
        self.controller.watch(self.requests)
        self.start = self.controller.start

    def reconcile(self, name: str) -> float | None:
        """Remove one request if its time is over; otherwise return the seconds until then."""
        csr = self.requests.get(name)
        ends = list(deadlines(csr)) if csr else []
        if csr is None or not ends:
            return None
        end, why = min(ends)
        left = end - time.time()
        if left > 0:
            return left
        log.info("removing certificate request %s: %s", name, why)
        with suppress(NotFound, Conflict):
            self.client.delete(CERTIFICATE_SIGNING_REQUESTS, name, uid=csr["metadata"]["uid"])
        return None


def deadlines(csr: Object) -> Iterator[tuple[float, str]]:
    """Yield the times, in seconds since the epoch, after which a request may be removed, each with the reason."""
    status = csr.get("status", {})
    conditions, certificate = status.get("conditions", []), status.get("certificate")
    if not conditions:
        yield parse_time(csr["metadata"]["creationTimestamp"]).timestamp() + PENDING, "it was never handled"
    for condition in conditions:
        updated = condition.get("lastUpdateTime")
        if not updated:
            continue
        end = parse_time(updated).timestamp() + DECIDED
        if condition["type"] in ("Denied", "Failed"):
            yield end, f"{condition['type']} long ago"
        elif condition["type"] == "Approved" and certificate:
            yield end, "its certificate was issued long ago"
            expiry = check_certificates(base64.b64decode(certificate))[0].not_valid_after_utc
            yield expiry.timestamp(), "its certificate has expired"


CLEANER = ControllerDescriptor(
    "certificatesigningrequest-cleaner-controller",
    CertificateCleaner,
    account=ACCOUNT,
    rules=RULES,
    watches=(WatchedKind(CERTIFICATE_SIGNING_REQUESTS),),
    aliases=("csrcleaner",),
)
