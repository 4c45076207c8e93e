"""Under which name each controller writes: a service account of its own, as upstream's controllers do.

With --use-service-account-credentials a controller has the rights of its ``system:controller:`` role and no others; the
process' own identity reads for all of them, and asks for their tokens. Upstream: controller-manager/pkg/clientbuilder.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from functools import partial

from controllers.shared.descriptor import SCHEDULER_USER, ControllerDescriptor
from machinery.client import Client
from machinery.errors import AlreadyExists, Forbidden, NotFound
from machinery.kubeconfig import ClientConfig
from machinery.objects import Object, parse_time
from machinery.resources import SERVICE_ACCOUNTS

log = logging.getLogger(__name__)

# What the message of a 403 contains if it is RBAC's and not admission's.
MISSING_RULE = "in API group"
# Upstream's names, by which the API server tells the managers of fields apart.
USER_AGENT = "kube-controller-manager"
SCHEDULER_AGENT = "kube-scheduler"
NAMESPACE = "kube-system"
SECONDS = 3600
# A token is renewed when so much of its life is over.
RENEW_AFTER = 0.8


class Identities:
    """Makes a client for each controller; all service accounts share their connections."""

    def __init__(
        self, access: ClientConfig, client: Client, scheduler: ClientConfig | None, *, with_accounts: bool
    ) -> None:
        self._client = client
        self._scheduler = Client(scheduler or access, user_agent=SCHEDULER_AGENT)
        self._tokens: dict[str, AccountTokens] = {}
        # A certificate on the connection would speak louder than a token in the request.
        bare = replace(access, client_certificate=b"", client_key=b"", token="")
        self._bare = Client(bare, user_agent=USER_AGENT) if with_accounts else None

    def client_of(self, row: ControllerDescriptor) -> Client | None:
        """Return the client that the controller writes with; None means the process' own."""
        if row.account == SCHEDULER_USER:
            return self._scheduler
        if self._bare is None or not row.account:
            return None
        if row.account not in self._tokens:
            self._tokens[row.account] = AccountTokens(self._client, row.account)
        return self._bare.under(self._tokens[row.account], partial(tell_missing_rule, row))


def tell_missing_rule(row: ControllerDescriptor, error: Forbidden) -> None:
    """Log where to add the rule, if it is for want of one that a controller's request was refused."""
    if MISSING_RULE in error.message:
        log.warning(
            "%s may not do what it tries, as its ClusterRole %s has no rule for it: %s. The rules stand in %s; "
            "run `make controllerroles` after a change",
            row.name,
            row.role,
            error,
            row.file,
        )


class AccountTokens:
    """The tokens of one service account, each asked for when it is needed first."""

    def __init__(self, client: Client, account: str) -> None:
        self._client = client
        self._account = account
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = 0.0

    def get(self) -> str:
        """See ``machinery.client.Tokens``."""
        with self._lock:
            if not self._token or time.time() >= self._renew_at:
                self._renew()
            return self._token

    def reject(self, token: str) -> None:
        with self._lock:
            if token == self._token:
                self._token = ""

    def _renew(self) -> None:
        try:
            answer = self._request()
        except NotFound:
            self._create_account()
            answer = self._request()
        now = time.time()
        lifetime = parse_time(answer["status"]["expirationTimestamp"]).timestamp() - now
        self._token, self._renew_at = answer["status"]["token"], now + RENEW_AFTER * lifetime

    def _request(self) -> Object:
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": SECONDS},
        }
        return self._client.create_subresource(SERVICE_ACCOUNTS, self._account, NAMESPACE, "token", body)

    def _create_account(self) -> None:
        meta = {"name": self._account, "namespace": NAMESPACE}
        try:
            self._client.create(SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
        except AlreadyExists:
            return
