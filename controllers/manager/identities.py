"""Under which name each controller writes: a service account of its own, as upstream's controllers do.

With --use-service-account-credentials a controller has the rights of its ``system:controller:`` role and no others; the
process' own identity reads for all of them, and asks for their tokens. Upstream: controller-manager/pkg/clientbuilder.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from machinery.client import Client
from machinery.errors import AlreadyExists, NotFound
from machinery.kubeconfig import Access
from machinery.objects import Object, parse_time
from machinery.resources import SERVICE_ACCOUNTS

# Upstream's names, by which the API server tells the managers of fields apart.
USER_AGENT = "kube-controller-manager"
SCHEDULER_AGENT = "kube-scheduler"
NAMESPACE = "kube-system"
SECONDS = 3600
# A token is renewed when so much of its life is over.
RENEW_AFTER = 0.8
SCHEDULER = "scheduler"
# Each controller's service account, by upstream's names; who is not here writes as the process itself.
ACCOUNTS = {
    "serviceaccount-controller": "service-account-controller",
    "root-ca-certificate-publisher-controller": "root-ca-cert-publisher",
    "replicationcontroller-controller": "replication-controller",
    "replicaset-controller": "replicaset-controller",
    "endpointslice-controller": "endpointslice-controller",
    "endpoints-controller": "endpoint-controller",
    "endpointslice-mirroring-controller": "endpointslicemirroring-controller",
    "namespace-controller": "namespace-controller",
    "node-lifecycle-controller": "node-controller",
    "taint-eviction-controller": "node-controller",
    "resourcequota-controller": "resourcequota-controller",
    "certificatesigningrequest-signing-controller": "certificate-controller",
    "certificatesigningrequest-approving-controller": "certificate-controller",
    "certificatesigningrequest-cleaner-controller": "certificate-controller",
    "pod-garbage-collector-controller": "pod-garbage-collector",
    "garbage-collector-controller": "generic-garbage-collector",
}


class Identities:
    """Makes a client for each controller; all service accounts share their connections."""

    def __init__(self, access: Access, client: Client, scheduler: Access | None, *, with_accounts: bool) -> None:
        self._client = client
        self._scheduler = Client(scheduler or access, user_agent=SCHEDULER_AGENT)
        self._tokens: dict[str, AccountTokens] = {}
        # A certificate on the connection would speak louder than a token in the request.
        bare = replace(access, client_certificate=b"", client_key=b"", token="")
        self._bare = Client(bare, user_agent=USER_AGENT) if with_accounts else None

    def client_of(self, controller: str) -> Client | None:
        """None means the process' own."""
        if controller == SCHEDULER:
            return self._scheduler
        account = ACCOUNTS.get(controller)
        if self._bare is None or account is None:
            return None
        if account not in self._tokens:
            self._tokens[account] = AccountTokens(self._client, account)
        return self._bare.under(self._tokens[account])


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
