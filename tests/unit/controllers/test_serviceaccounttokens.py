"""Which Secrets an account's tokens are in, as a table."""

from __future__ import annotations

import pytest

from controllers.namespaces.serviceaccounttokens import (
    ACCOUNT_NAME,
    ACCOUNT_UID,
    SecretPlan,
    account_of,
    missing,
    plan,
    secret_name,
)
from machinery.objects import Object


def account(*secrets: str, deleting: bool = False) -> Object:
    meta = {"name": "bot", "namespace": "ns", "uid": "u1"}
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": meta, "secrets": [{"name": name} for name in secrets]}


def secret(name: str, uid: str = "u1", token: str = "") -> Object:
    annotations = {ACCOUNT_NAME: "bot"} | ({ACCOUNT_UID: uid} if uid else {})
    return {
        "metadata": {"name": name, "namespace": "ns", "annotations": annotations},
        "data": {"token": token} if token else {},
    }


EMPTY, FULL, NAMED, STRANGER = secret("e"), secret("f", token="t"), secret("n", uid=""), secret("s", uid="u0")


@pytest.mark.parametrize(
    ("found", "secrets", "legacy", "wanted"),
    [
        (None, [FULL, EMPTY], True, SecretPlan(delete=(FULL, EMPTY))),
        (account(), [], True, SecretPlan(create=True)),
        (account(), [], False, SecretPlan()),
        (account(), [EMPTY], True, SecretPlan(fill=(EMPTY,))),
        (account(), [NAMED], False, SecretPlan(fill=(NAMED,))),
        (account(), [FULL], True, SecretPlan(mention="f")),
        (account(), [FULL], False, SecretPlan()),
        (account("f"), [FULL], True, SecretPlan()),
        (account("other"), [FULL], True, SecretPlan(mention="f")),
        (account(), [STRANGER], True, SecretPlan(delete=(STRANGER,), create=True)),
        (account(deleting=True), [], True, SecretPlan()),
    ],
)
def test_plan(found: Object | None, secrets: list[Object], legacy: bool, wanted: SecretPlan) -> None:
    assert plan(found, secrets, legacy) == wanted


@pytest.mark.parametrize(
    ("secrets", "legacy", "wanted"),
    [
        ([], True, SecretPlan(create=True)),  # the old one is forgotten when there is a new one
        ([EMPTY], True, SecretPlan(fill=(EMPTY,))),
        ([FULL], True, SecretPlan(mention="f", forget=("old",))),
        ([], False, SecretPlan(forget=("old",))),
        ([FULL], False, SecretPlan(forget=("old",))),
    ],
)
def test_a_secret_that_was_deleted_is_replaced(secrets: list[Object], legacy: bool, wanted: SecretPlan) -> None:
    assert plan(account("old"), secrets, legacy, gone=("old",)) == wanted


def test_only_names_of_tokens_can_be_missing() -> None:
    """An account may name Secrets of other kinds, and such as are still to come."""
    mine = account("bot-token-bcdfg", "bot-token-hjklm", "bot-dockercfg-bcdfg", "bot-token-aeiou", "robot-token-bcdfg")
    assert missing(mine, [secret("bot-token-hjklm")]) == ["bot-token-bcdfg"]


def test_the_next_secrets_name_is_another_one() -> None:
    first = secret_name(account())
    second = secret_name(account(first), [first])
    assert len({first, second, secret_name(account(second), [second])}) == 3
    assert second == secret_name(account(first), [first])


def test_a_secrets_name_follows_from_the_accounts_uid() -> None:
    assert secret_name(account()) == secret_name(account("x"))
    assert secret_name(account()).startswith("bot-token-")
    other = account()
    other["metadata"]["uid"] = "u2"
    assert secret_name(other) != secret_name(account())


def test_a_secret_leads_to_the_account_that_it_names() -> None:
    assert list(account_of(EMPTY)) == ["ns/bot"]
    assert list(account_of({"metadata": {"name": "x", "namespace": "ns"}})) == []
