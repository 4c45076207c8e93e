"""Service accounts' tokens in Secrets, against a real API server."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from machinery.client import Client
from machinery.errors import NotFound, Unauthorized
from machinery.kubeconfig import ClientConfig
from machinery.objects import Object
from machinery.resources import SECRETS, SERVICE_ACCOUNTS

pytestmark = pytest.mark.etcd

Wait = Callable[..., Any]
TYPE = "kubernetes.io/service-account-token"


def secret_of(cluster: Any, account: str) -> Object | None:
    """The account's Secret, once it is filled and named in the account."""
    names = cluster.client.get(SERVICE_ACCOUNTS, account, cluster.namespace).get("secrets")
    found: Object | None = cluster.client.get(SECRETS, names[0]["name"], cluster.namespace) if names else None
    return found


def whoami(cluster: Any, token: str) -> str:
    client = Client(ClientConfig(f"http://127.0.0.1:{cluster.plane.port}", token=token), user_agent="tests")
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    review = client.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=body)
    return str(review["status"]["userInfo"]["username"])


def token_in(secret: Object) -> str:
    return base64.b64decode(secret["data"]["token"]).decode()


def test_each_account_has_a_token_that_ends_with_its_secret(cluster: Any, wait: Wait) -> None:
    secret = wait(lambda: secret_of(cluster, "default"), "the account's Secret")
    assert secret["type"] == TYPE
    assert base64.b64decode(secret["data"]["namespace"]).decode() == cluster.namespace
    assert base64.b64decode(secret["data"]["ca.crt"]) == cluster.plane.ca_file.read_bytes()
    token = token_in(secret)
    assert whoami(cluster, token) == f"system:serviceaccount:{cluster.namespace}:default"
    cluster.client.delete(SECRETS, secret["metadata"]["name"], cluster.namespace)
    with pytest.raises(Unauthorized):
        whoami(cluster, token)

    def named() -> list[Object]:
        account: Object = cluster.client.get(SERVICE_ACCOUNTS, "default", cluster.namespace)
        references: list[Object] = account["secrets"]
        return [] if {"name": secret["metadata"]["name"]} in references else references

    (reference,) = wait(named, "the account to name another Secret instead")
    fresh = token_in(cluster.client.get(SECRETS, reference["name"], cluster.namespace))
    assert whoami(cluster, fresh) == f"system:serviceaccount:{cluster.namespace}:default"


def test_a_secret_that_a_person_makes_is_filled_and_goes_with_its_account(cluster: Any, wait: Wait) -> None:
    meta = {"name": "bot", "namespace": cluster.namespace}
    cluster.client.create(SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    annotations = {"kubernetes.io/service-account.name": "bot"}
    place = {"name": "mine", "namespace": cluster.namespace, "annotations": annotations}
    cluster.client.create(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": place, "type": TYPE})

    def mine() -> Object | None:
        secret: Object = cluster.client.get(SECRETS, "mine", cluster.namespace)
        return secret if secret.get("data") else None

    assert whoami(cluster, token_in(wait(mine, "the token"))) == f"system:serviceaccount:{cluster.namespace}:bot"
    cluster.client.delete(SERVICE_ACCOUNTS, "bot", cluster.namespace)

    def gone() -> bool:
        try:
            cluster.client.get(SECRETS, "mine", cluster.namespace)
        except NotFound:
            return True
        return False

    wait(gone, "the Secret to go with its account")
