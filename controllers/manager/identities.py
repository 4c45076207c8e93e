"""Give each controller the service account with which it writes, as upstream's controllers have one.

With --use-service-account-credentials a controller has the rights of its ``system:controller:`` role and no others. The
process' own identity reads for all of them, and requests their tokens. Upstream: controller-manager/pkg/clientbuilder.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial

from controllers.shared.descriptor import SCHEDULER_USER, ControllerDescriptor
from machinery.client import Client
from machinery.errors import AlreadyExists, Forbidden, NotFound
from machinery.kubeconfig import ClientConfig
from machinery.objects import Object, parse_time
from machinery.resources import SERVICE_ACCOUNTS

log = logging.getLogger(__name__)

# The message of a 403 contains this if RBAC refused the request, and not if admission did.
MISSING_RULE = "in API group"
# Upstream's names: from the user agent the API server derives who manages a field.
USER_AGENT = "kube-controller-manager"
SCHEDULER_AGENT = "kube-scheduler"
NAMESPACE = "kube-system"
TOKEN_SECONDS = 3600
# A token is renewed when this share of its lifetime is over.
RENEW_AFTER = 0.8


class Identities:
    """Makes a client for each controller. All service accounts share the connections of one client."""

    def __init__(
        self, access: ClientConfig, client: Client, scheduler: ClientConfig | None, *, with_accounts: bool
    ) -> None:
        self._client = client
        self._scheduler = Client(scheduler or access, user_agent=SCHEDULER_AGENT)
        self._tokens: dict[str, AccountTokens] = {}
        # With a client certificate on the connection, the API server would ignore the token in the request.
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
        return self._bare.under(self._tokens[row.account], partial(log_missing_rule, row))


def log_missing_rule(row: ControllerDescriptor, error: Forbidden) -> None:
    """Log where to add the rule, if a controller's request was refused because its role lacks one."""
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
    """The token of one service account: requested when it is first needed, and renewed before it expires."""

    def __init__(self, client: Client, account: str) -> None:
        self._client = client
        self._account = account
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = 0.0

    def get(self) -> str:
        """Return a valid token; this is part of the protocol ``machinery.client.Tokens``."""
        with self._lock:
            if not self._token or time.time() >= self._renew_at:
                self._renew()
            return self._token

    def reject(self, token: str) -> None:
        """Request another token next time, if this one, which the API server refused, is still the current one."""
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
            "spec": {"expirationSeconds": TOKEN_SECONDS},
        }
        return self._client.create_subresource(SERVICE_ACCOUNTS, self._account, NAMESPACE, "token", body)

    def _create_account(self) -> None:
        meta = {"name": self._account, "namespace": NAMESPACE}
        with suppress(AlreadyExists):
            self._client.create(SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
