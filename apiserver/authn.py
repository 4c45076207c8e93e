"""Who is asking: client certificate, bearer token, or nobody (upstream: apiserver/pkg/authentication).

A certificate speaks for itself: its CN is the user, its O are the groups. A bearer token is looked up in the token
file, or is a ServiceAccount's signed one. A token that is wrong is refused, never taken for anonymous.
"""

from __future__ import annotations

import csv
import hmac
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from apiserver.request import User
from machinery.errors import Unauthorized

ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
AUTHENTICATED = "system:authenticated"


class TokenAuthenticator(Protocol):
    """Tells whom a token belongs to, None when it is none of its own."""

    def authenticate(self, token: str) -> User | None: ...

    def review(self, token: str, audiences: Sequence[str]) -> User | None:
        """The same for a token that somebody else was shown, and that must be for one of these audiences."""


class TokenFile:
    """Upstream's static token file: lines of token,user,uid,"group1,group2"."""

    def __init__(self, path: Path) -> None:
        self._users: dict[bytes, User] = {}
        with path.open(newline="") as file:
            for number, row in enumerate(csv.reader(file, skipinitialspace=True), 1):
                if not row or row[0].startswith("#"):
                    continue
                if len(row) < 3:
                    raise ValueError(f'{path}:{number}: a line must be token,user,uid and optionally "group,group"')
                groups = tuple(group.strip() for group in row[3].split(",") if group.strip()) if len(row) > 3 else ()
                self._users[row[0].encode()] = User(row[1], (*groups, AUTHENTICATED), row[2])

    def authenticate(self, token: str) -> User | None:
        found = None
        for known, user in self._users.items():
            if hmac.compare_digest(known, token.encode()):
                found = user
        return found

    def review(self, token: str, audiences: Sequence[str]) -> User | None:
        return self.authenticate(token)


class Authenticator:
    """All ways in their order. What a connection's certificate says is worked out once a connection."""

    def __init__(self, tokens: tuple[TokenAuthenticator, ...] = ()) -> None:
        self._tokens = tokens
        self._connections: WeakKeyDictionary[Any, User | None] = WeakKeyDictionary()

    def authenticate(self, environ: Mapping[str, Any]) -> User:
        """The user; ANONYMOUS without any credentials. Raises Unauthorized for bad ones."""
        scheme, _, token = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
        user = self._certified(environ.get("gunicorn.socket"))
        if user is not None:
            return user
        if scheme.lower() == "bearer" and token.strip():
            for authenticator in self._tokens:
                user = authenticator.authenticate(token.strip())
                if user is not None:
                    return user
            raise Unauthorized("Unauthorized")
        return ANONYMOUS

    def _certified(self, socket: Any) -> User | None:
        if not isinstance(socket, ssl.SSLSocket):
            return None
        try:
            return self._connections[socket]
        except KeyError:
            user = self._connections[socket] = certified_user(socket.getpeercert)
            return user


def certified_user(peer_certificate: Callable[[], Any]) -> User | None:
    """The user whom a verified certificate names, None without one."""
    certificate = peer_certificate()
    if not certificate:
        return None
    subject = [pair for name in certificate.get("subject", ()) for pair in name]
    names = [value for key, value in subject if key == "commonName"]
    if not names or not names[-1]:
        raise Unauthorized("the client certificate has no common name, which would be the user's")
    groups = [value for key, value in subject if key == "organizationName"]
    return User(names[-1], (*groups, AUTHENTICATED))
