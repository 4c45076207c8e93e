"""``kubectl --as``."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.authorization.authn import ANONYMOUS
from apiserver.authorization.impersonation import impersonated
from apiserver.model.attributes import Authorizer
from apiserver.model.user import User
from machinery.errors import BadRequest, Forbidden

AUTHENTICATED = "system:authenticated"
ADMIN = User("admin", ("system:masters", AUTHENTICATED))
JANE = User("jane", (AUTHENTICATED,))


def headers(**given: str) -> dict[str, str]:
    return {"PATH_INFO": "/", **{f"HTTP_IMPERSONATE_{name}": value for name, value in given.items()}}


@pytest.mark.parametrize(
    ("environ", "user"),
    [
        (headers(), ADMIN),
        (headers(USER=""), ADMIN),
        (headers(USER="joe"), User("joe", (AUTHENTICATED,))),
        (headers(USER="joe", GROUP="devs,ops"), User("joe", ("devs", "ops", AUTHENTICATED))),
        (headers(USER="joe", GROUP=AUTHENTICATED), User("joe", (AUTHENTICATED,))),
        (headers(USER="joe", GROUP="system:unauthenticated"), User("joe", ("system:unauthenticated",))),
        (headers(USER="joe", UID="u"), User("joe", (AUTHENTICATED,), "u")),
        (
            headers(USER="joe", EXTRA_SCOPES="a,b", **{"EXTRA_ACME.COM%2FTEAM_NAME": "x"}),
            User("joe", (AUTHENTICATED,), "", {"scopes": ("a", "b"), "acme.com/team-name": ("x",)}),
        ),
        (
            headers(USER="system:serviceaccount:ns:robot"),
            User(
                "system:serviceaccount:ns:robot",
                ("system:serviceaccounts", "system:serviceaccounts:ns", AUTHENTICATED),
            ),
        ),
        (
            headers(USER="system:serviceaccount:ns:robot", GROUP="g"),
            User("system:serviceaccount:ns:robot", ("g", AUTHENTICATED)),
        ),
        (headers(USER="system:serviceaccount:odd"), User("system:serviceaccount:odd", (AUTHENTICATED,))),
        (headers(USER="system:anonymous"), ANONYMOUS),
    ],
)
def test_whom_an_administrator_becomes(authorizer: Authorizer, environ: dict[str, str], user: User) -> None:
    assert impersonated(ADMIN, environ, authorizer) == user


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (headers(USER="joe"),
         'users "joe" is forbidden: User "jane" cannot impersonate resource "users" in API group "" '
         "at the cluster scope"),
        (headers(USER="allowed", GROUP="allowed-group,devs"),
         'groups "devs" is forbidden: User "jane" cannot impersonate resource "groups" in API group "" '
         "at the cluster scope"),
        (headers(USER="system:serviceaccount:ns:robot"),
         'serviceaccounts "robot" is forbidden: User "jane" cannot impersonate resource "serviceaccounts" '
         'in API group "" in the namespace "ns"'),
        (headers(USER="allowed", UID="u"),
         'uids.authentication.k8s.io "u" is forbidden: User "jane" cannot impersonate resource "uids" '
         'in API group "authentication.k8s.io" at the cluster scope'),
        (headers(USER="allowed", EXTRA_SCOPES="read,write"),
         'userextras.authentication.k8s.io "write" is forbidden: User "jane" cannot impersonate resource '
         '"userextras/scopes" in API group "authentication.k8s.io" at the cluster scope'),
    ],
)  # fmt: skip
def test_each_part_must_be_allowed(objects: Any, authorizer: Authorizer, environ: dict[str, str], message: str) -> None:
    def may(group: str, resource: str, name: str) -> dict[str, list[str]]:
        return {"verbs": ["impersonate"], "apiGroups": [group], "resources": [resource], "resourceNames": [name]}

    objects.role(
        "as",
        may("", "users", "allowed"),
        may("", "groups", "allowed-group"),
        may("authentication.k8s.io", "userextras/scopes", "read"),
    )
    objects.bind("as", "ClusterRole/as", "User jane")
    with pytest.raises(Forbidden) as caught:
        impersonated(JANE, environ, authorizer)
    assert caught.value.message == message
    acting = impersonated(JANE, headers(USER="allowed", GROUP="allowed-group", EXTRA_SCOPES="read"), authorizer)
    assert acting == User("allowed", ("allowed-group", AUTHENTICATED), "", {"scopes": ("read",)})


@pytest.mark.parametrize("given", [{"GROUP": "devs"}, {"UID": "u"}, {"EXTRA_SCOPES": "x"}])
def test_parts_without_a_user(authorizer: Authorizer, given: dict[str, str]) -> None:
    with pytest.raises(BadRequest, match="without impersonating a user"):
        impersonated(ADMIN, headers(**given), authorizer)
