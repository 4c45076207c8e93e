"""Fill Secrets with tokens of service accounts (upstream: pkg/controller/serviceaccount/tokens_controller.go).

A Secret of type ``kubernetes.io/service-account-token`` that names an account is given a token, the cluster's CA and
its namespace. It is deleted when its account is.

With ``--legacy-service-account-tokens`` each account is given such a Secret, as upstream did before v1.24. Clients of
that time, its end-to-end suite among them, wait for one in the account's ``secrets``, and for another one after they
deleted it. So the names of deleted Secrets are removed there.

The API server makes the token, like any other. It is bound to its Secret, and not valid without it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from controllers.namespaces.serviceaccount import is_active
from controllers.shared.context import ControllerContext
from controllers.shared.descriptor import ControllerDescriptor, WatchedKind
from machinery.controller import Controller
from machinery.errors import AlreadyExists, NotFound
from machinery.objects import NAME_ALPHABET, Object, annotations_of, key, make_key, split_key
from machinery.resources import NAMESPACES, SECRETS, SERVICE_ACCOUNTS

TYPE = "kubernetes.io/service-account-token"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
ACCOUNT = "account"
# Seconds; the longest that a TokenRequest may ask for, because the token must last as long as its Secret.
LIFETIME = 1 << 32


@dataclass(frozen=True)
class SecretPlan:
    """What one call of reconcile does for one account."""

    delete: tuple[Object, ...] = ()  # Secrets of an account that has gone
    fill: tuple[Object, ...] = ()  # Secrets that lack their token
    create: bool = False  # one Secret, for an account that has none
    mention: str = ""  # the Secret to add to the account's ``secrets``
    forget: tuple[str, ...] = ()  # names to remove from the account's ``secrets``


def plan(account: Object | None, secrets: Sequence[Object], legacy: bool, gone: tuple[str, ...] = ()) -> SecretPlan:
    """Compare an account, None if it is gone, with the Secrets that name it.

    ``gone`` are Secrets that the account names and that do not exist. They are forgotten only when their successor is
    there, because its name is derived from theirs.
    """
    if account is None:
        return SecretPlan(delete=tuple(secrets))
    mine = [secret for secret in secrets if uid_of(secret) in ("", account["metadata"]["uid"])]
    foreign = tuple(secret for secret in secrets if secret not in mine)
    empty = tuple(secret for secret in mine if not secret.get("data", {}).get("token"))
    if not legacy or account["metadata"].get("deletionTimestamp"):
        return SecretPlan(foreign, empty, forget=gone)
    mentioned = mentions(account)
    full = sorted(secret["metadata"]["name"] for secret in mine if secret not in empty)
    mention = full[0] if full and mentioned.isdisjoint(full) else ""
    return SecretPlan(foreign, empty, not mine, mention, gone if full else ())


_SUFFIX = re.compile(f"[{NAME_ALPHABET}]{{5}}")


def mentions(account: Object) -> set[str]:
    """Return the names of the Secrets that an account lists."""
    return {str(reference.get("name", "")) for reference in account.get("secrets", ())}


def missing(account: Object, secrets: Sequence[Object]) -> list[str]:
    """Return the names of those Secrets of tokens that an account lists and that do not exist, sorted.

    Names of another form are left alone: they may be of users' Secrets.
    """
    prefix = f"{account['metadata']['name']}-token-"
    present = {secret["metadata"]["name"] for secret in secrets}
    return sorted(
        name
        for name in mentions(account) - present
        if name.startswith(prefix) and _SUFFIX.fullmatch(name.removeprefix(prefix))
    )


def uid_of(secret: Object) -> str:
    """Return the uid of the account that a Secret was made for; empty if the Secret only names an account."""
    return str(annotations_of(secret).get(ACCOUNT_UID, ""))


def account_of(secret: Object) -> Iterable[str]:
    """Return the key of the account that a Secret names, if it does; for the index and the queue."""
    name = annotations_of(secret).get(ACCOUNT_NAME)
    return (make_key(secret["metadata"]["namespace"], name),) if name else ()


def secret_name(account: Object, gone: Iterable[str] = ()) -> str:
    """Return the name of an account's Secret, derived from the account and the Secrets that are gone.

    It is not random, so that a second try finds the Secret of the first.
    """
    digest = hashlib.sha256("/".join((account["metadata"]["uid"], *gone)).encode()).digest()
    suffix = "".join(NAME_ALPHABET[byte % len(NAME_ALPHABET)] for byte in digest[:5])
    return f"{account['metadata']['name']}-token-{suffix}"


class ServiceAccountTokens:
    """Reconciles the Secrets of accounts, by the account's key."""

    def __init__(self, context: ControllerContext) -> None:
        self.client = context.client
        self.legacy = context.options.legacy_service_account_tokens
        self.ca = Path(context.options.root_ca_file).read_bytes() if context.options.root_ca_file else b""
        self.namespaces = context.informer(NAMESPACES)
        self.accounts = context.informer(SERVICE_ACCOUNTS)
        self.secrets = context.informer(SECRETS)
        self.controller = Controller("serviceaccount-token", self.reconcile)
        self.controller.watch(self.accounts)
        self.controller.watch(self.secrets, account_of)
        self.controller.requires(self.namespaces)
        self.start = self.controller.start

    def reconcile(self, account_key: str) -> None:
        """Carry out the plan for one account."""
        namespace, name = split_key(account_key)
        if not is_active(self.namespaces.get(namespace)):
            return
        account = self.accounts.get(account_key)
        secrets = self.secrets.by_index(ACCOUNT, account_key)
        # The cache may be behind, so the API server is asked before a Secret is deleted or its name removed.
        if account is None and secrets:
            account = self.client.find(SERVICE_ACCOUNTS, name, namespace)
        absent = missing(account, secrets) if account else []
        gone = tuple(name for name in absent if self.client.find(SECRETS, name, namespace) is None)
        todo = plan(account, secrets, self.legacy, gone)
        for secret in todo.delete:
            self.delete(secret)
        if account is None:
            return
        for secret in todo.fill:
            self.fill(secret, account)
        if todo.create:
            self.create(account, secret_name(account, gone))
        if todo.mention or todo.forget:
            references = [other for other in account.get("secrets", ()) if other.get("name") not in todo.forget]
            references += [{"name": todo.mention}] if todo.mention else []
            self.client.update(SERVICE_ACCOUNTS, {**account, "secrets": references})

    def delete(self, secret: Object) -> None:
        """Delete a Secret unless it has changed."""
        meta = secret["metadata"]
        with suppress(NotFound):
            self.client.delete(
                SECRETS, meta["name"], meta["namespace"], uid=meta["uid"], resource_version=meta["resourceVersion"]
            )

    def create(self, account: Object, secret: str) -> None:
        """Create an empty Secret for an account. Its event leads to another call, which fills it."""
        meta = account["metadata"]
        annotations = {ACCOUNT_NAME: meta["name"], ACCOUNT_UID: meta["uid"]}
        place = {"name": secret, "namespace": meta["namespace"], "annotations": annotations}
        with suppress(AlreadyExists):  # The watch will show it.
            self.client.create(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": place, "type": TYPE})

    def fill(self, secret: Object, account: Object) -> None:
        """Write token, CA and namespace into a Secret."""
        meta = secret["metadata"]
        bound = {"apiVersion": "v1", "kind": "Secret", "name": meta["name"], "uid": meta["uid"]}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": LIFETIME, "boundObjectRef": bound},
        }
        name, namespace = split_key(key(account))[1], meta["namespace"]
        answer = self.client.create_subresource(SERVICE_ACCOUNTS, name, namespace, "token", request)
        values = {"token": answer["status"]["token"].encode(), "namespace": namespace.encode(), "ca.crt": self.ca}
        encoded = {field: base64.b64encode(value).decode() for field, value in values.items() if value}
        annotations = {**meta["annotations"], ACCOUNT_UID: account["metadata"]["uid"]}
        data = {**secret.get("data", {}), **encoded}
        self.client.update(SECRETS, {**secret, "metadata": {**meta, "annotations": annotations}, "data": data})


# As upstream's, it has no service account and writes with the identity of the process.
SERVICE_ACCOUNT_TOKENS = ControllerDescriptor(
    "serviceaccount-token-controller",
    ServiceAccountTokens,
    watches=(
        WatchedKind(NAMESPACES),
        WatchedKind(SERVICE_ACCOUNTS),
        WatchedKind(SECRETS, {ACCOUNT: account_of}, field_selector=f"type={TYPE}"),
    ),
    aliases=("serviceaccount-token",),
)
