"""Which Secrets an account's tokens are in, as a table."""

from __future__ import annotations

import pytest

from controllers.serviceaccounttokens import ACCOUNT_NAME, ACCOUNT_UID, Plan, account_of, plan, secret_name
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
        (None, [FULL, EMPTY], True, Plan(delete=(FULL, EMPTY))),
        (account(), [], True, Plan(create=True)),
        (account(), [], False, Plan()),
        (account(), [EMPTY], True, Plan(fill=(EMPTY,))),
        (account(), [NAMED], False, Plan(fill=(NAMED,))),
        (account(), [FULL], True, Plan(mention="f")),
        (account(), [FULL], False, Plan()),
        (account("f"), [FULL], True, Plan()),
        (account("other"), [FULL], True, Plan(mention="f")),
        (account(), [STRANGER], True, Plan(delete=(STRANGER,), create=True)),
        (account(deleting=True), [], True, Plan()),
    ],
)
def test_plan(found: Object | None, secrets: list[Object], legacy: bool, wanted: Plan) -> None:
    assert plan(found, secrets, legacy) == wanted


def test_a_secrets_name_follows_from_the_accounts_uid() -> None:
    assert secret_name(account()) == secret_name(account("x"))
    assert secret_name(account()).startswith("bot-token-")
    other = account()
    other["metadata"]["uid"] = "u2"
    assert secret_name(other) != secret_name(account())


def test_a_secret_leads_to_the_account_that_it_names() -> None:
    assert list(account_of(EMPTY)) == ["ns/bot"]
    assert list(account_of({"metadata": {"name": "x", "namespace": "ns"}})) == []
