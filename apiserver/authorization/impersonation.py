"""``kubectl --as``: a user acts as another one. Each part of that one needs the verb ``impersonate``.

Upstream: apiserver/pkg/endpoints/filters/impersonation.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from apiserver.authorization.authn import ANONYMOUS, AUTHENTICATED
from apiserver.model.attributes import Attributes, Authorizer
from apiserver.model.user import SERVICE_ACCOUNT_PREFIX, User
from machinery.errors import BadRequest

UNAUTHENTICATED = "system:unauthenticated"
_GROUP = "authentication.k8s.io"
_HEADERS = "HTTP_IMPERSONATE_"
_EXTRA = _HEADERS + "EXTRA_"


def impersonated(user: User, environ: Mapping[str, Any], authorizer: Authorizer) -> User:
    """Return the user to serve the request as; raises Forbidden unless the caller may act as that one."""
    if _HEADERS not in "".join(environ):  # Few requests impersonate, and every request is asked.
        return user
    wanted = _wanted(environ)
    for asked in _questions(user, wanted):
        authorizer.require(asked)
    if not wanted.name:
        return user
    return User(wanted.name, _completed(wanted.name, wanted.groups), wanted.uid, wanted.extra)


def _wanted(environ: Mapping[str, Any]) -> User:
    """Return the user that the headers describe; raises BadRequest for parts without a name."""
    name, uid = environ.get(_HEADERS + "USER", ""), environ.get(_HEADERS + "UID", "")
    groups = _values(environ.get(_HEADERS + "GROUP", ""))
    extra = {_key(header): _values(text) for header, text in environ.items() if header.startswith(_EXTRA)}
    if not name and (groups or extra or uid):
        what = [
            *(f"group {group}" for group in groups),
            *(f"extra {key}" for key in extra),
            *([f"uid {uid}"] * bool(uid)),
        ]
        raise BadRequest(f"requested {', '.join(what)} without impersonating a user")
    return User(name, groups, uid, extra)


def _questions(user: User, wanted: User) -> Iterator[Attributes]:
    """Yield everything that the user must be allowed."""
    if not wanted.name:
        return
    verb = "impersonate"
    if account := _account(wanted.name):
        yield Attributes(user, verb, resource="serviceaccounts", namespace=account[0], name=account[1])
    else:
        yield Attributes(user, verb, resource="users", name=wanted.name)
    for group in wanted.groups:
        yield Attributes(user, verb, resource="groups", name=group)
    for key, values in wanted.extra.items():
        for value in values:
            yield Attributes(user, verb, _GROUP, "userextras", key, name=value)
    if wanted.uid:
        yield Attributes(user, verb, _GROUP, "uids", name=wanted.uid)


def _values(text: str) -> tuple[str, ...]:
    """Return the values of a header that was sent several times: WSGI joins them with commas."""
    return tuple(value for part in text.split(",") if (value := part.strip()))


def _key(header: str) -> str:
    """Return the key of an extra header: ``Impersonate-Extra-Acme%2Fteam`` means ``acme/team``."""
    return unquote(header.removeprefix(_EXTRA).lower().replace("_", "-"))


def _completed(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    """Add the groups that every user of the kind has."""
    if name == ANONYMOUS.name:
        return groups if UNAUTHENTICATED in groups else (*groups, UNAUTHENTICATED)
    account = _account(name)
    if account and not groups:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{account[0]}")
    return groups if AUTHENTICATED in groups or UNAUTHENTICATED in groups else (*groups, AUTHENTICATED)


def _account(name: str) -> tuple[str, str] | None:
    """Return namespace and name if the user is a ServiceAccount, else None."""
    namespace, colon, account = name.removeprefix(SERVICE_ACCOUNT_PREFIX).partition(":")
    return (namespace, account) if name.startswith(SERVICE_ACCOUNT_PREFIX) and colon and namespace and account else None
