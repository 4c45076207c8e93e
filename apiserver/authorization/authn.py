"""Who is asking: client certificate, bearer token, or nobody (upstream: apiserver/pkg/authentication).

A certificate speaks for itself: its CN is the user, its O are the groups. A bearer token is looked up in the token
file, or is a ServiceAccount's signed one. A token that is wrong is refused, never taken for anonymous.
"""

from __future__ import annotations

import base64
import csv
import hmac
import logging
import ssl
from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from apiserver.model.exchange import EXCHANGE
from apiserver.model.user import User
from machinery.errors import Unauthorized

log = logging.getLogger(__name__)

ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
AUTHENTICATED = "system:authenticated"


# Browsers cannot send an Authorization header with a WebSocket, but may name a subprotocol.
_BEARER_PROTOCOL = "base64url.bearer.authorization.k8s.io."


class Identity(NamedTuple):
    """Whose a token is, and for which of the audiences that were asked for it is good."""

    user: User
    audiences: tuple[str, ...]


class TokenRefused(Exception):
    """A token of ours that is not, or no longer, good; the text is for those who may review tokens."""


class TokenAuthenticator(Protocol):
    """One sort of bearer tokens."""

    def identify(self, token: str, audiences: Sequence[str] = ()) -> Identity | None:
        """Whose it is, None when it is none of this sort; raises TokenRefused.

        It must be for one of the audiences: without any, for this API server.
        """


class TokenFile:
    """Upstream's static token file: lines of token,user,uid,"group1,group2"."""

    def __init__(self, path: Path, audiences: Sequence[str] = ()) -> None:
        self._audiences = tuple(audiences)
        self._users: dict[bytes, User] = {}
        with path.open(newline="") as file:
            for number, row in enumerate(csv.reader(file, skipinitialspace=True), 1):
                if not row or row[0].startswith("#"):
                    continue
                if len(row) < 3:
                    raise ValueError(f'{path}:{number}: a line must be token,user,uid and optionally "group,group"')
                groups = tuple(group.strip() for group in row[3].split(",") if group.strip()) if len(row) > 3 else ()
                self._users[row[0].encode()] = User(row[1], (*groups, AUTHENTICATED), row[2])

    def identify(self, token: str, audiences: Sequence[str] = ()) -> Identity | None:
        """These tokens know of no audience: they are for this API server."""
        found = None
        for known, user in self._users.items():
            if hmac.compare_digest(known, token.encode()):
                found = user
        common = tuple(each for each in self._audiences if not audiences or each in audiences)
        return Identity(found, common) if found and (common or not audiences) else None


class Authenticator:
    """All ways in their order. What a connection's certificate says is worked out once a connection."""

    def __init__(self, tokens: tuple[TokenAuthenticator, ...] = ()) -> None:
        self._tokens = tokens
        self._connections: WeakKeyDictionary[Any, User | None] = WeakKeyDictionary()

    def authenticate(self, environ: MutableMapping[str, Any]) -> User:
        """The user; ANONYMOUS without any credentials. Raises Unauthorized for bad ones."""
        exchange = environ.get(EXCHANGE)
        user = self._certified(exchange.socket if exchange is not None else None)
        if user is not None:
            return user
        token = bearer_token(environ)
        if not token:
            return ANONYMOUS
        for authenticator in self._tokens:
            try:
                found = authenticator.identify(token)
            except TokenRefused as why:
                log.debug("a bearer token is refused: %s", why)
            else:
                if found is not None:
                    return found.user
        raise Unauthorized("Unauthorized")

    def _certified(self, socket: Any) -> User | None:
        if not isinstance(socket, ssl.SSLSocket):
            return None
        try:
            return self._connections[socket]
        except KeyError:
            user = self._connections[socket] = certified_user(socket.getpeercert)
            return user


def bearer_token(environ: MutableMapping[str, Any]) -> str:
    """The token that a request carries, empty without one."""
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return str(token.strip())
    offered = environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "")
    return _websocket_token(environ, [each.strip() for each in offered.split(",")]) if offered else ""


def _websocket_token(environ: MutableMapping[str, Any], offered: list[str]) -> str:
    """Taken out of the subprotocols, so that it goes to nobody else; another one must be left to agree on."""
    encoded = [each.removeprefix(_BEARER_PROTOCOL) for each in offered if each.startswith(_BEARER_PROTOCOL)]
    others = [each for each in offered if not each.startswith(_BEARER_PROTOCOL)]
    if not encoded:
        return ""
    try:
        token = base64.urlsafe_b64decode(encoded[0] + "=" * (-len(encoded[0]) % 4)).decode()
    except ValueError:
        token = ""
    if not token or not others or len(encoded) > 1:
        raise Unauthorized("Unauthorized")
    environ["HTTP_SEC_WEBSOCKET_PROTOCOL"] = ", ".join(others)
    return token


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
