"""Authentication: the user of a request, from a client certificate or a bearer token.

Upstream: apiserver/pkg/authentication. A verified certificate names the user in its CN and the groups in its O. A
bearer token is one of the token file, or a ServiceAccount's signed one. A request with a wrong token is refused; only
one without credentials is anonymous.
"""

from __future__ import annotations

import base64
import csv
import hmac
import logging
import ssl
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
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


class TokenIdentity(NamedTuple):
    """The user of a token, and those of the audiences asked for that it is valid for."""

    user: User
    audiences: tuple[str, ...]


class TokenRefused(Exception):
    """A token of ours is invalid or has expired. Only a TokenReview tells the reason."""


class TokenAuthenticator(Protocol):
    """Knows one sort of bearer tokens."""

    def identify(self, token: str, audiences: Sequence[str] = ()) -> TokenIdentity | None:
        """Return the token's user, None for a token of another sort; raises TokenRefused.

        The token must be valid for one of the audiences; without any, for this API server.
        """


class TokenFile:
    """Upstream's static token file: lines of token,user,uid,"group1,group2". Raises ValueError for others."""

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

    def identify(self, token: str, audiences: Sequence[str] = ()) -> TokenIdentity | None:
        """Return the token's user. These tokens name no audience, so they are for this API server."""
        found, encoded = None, token.encode()
        for known, user in self._users.items():
            if hmac.compare_digest(known, encoded):
                found = user
        common = tuple(each for each in self._audiences if not audiences or each in audiences)
        return TokenIdentity(found, common) if found and (common or not audiences) else None


class Authenticator:
    """Tries the certificate, then each sort of token. The user of a certificate is worked out once a connection."""

    def __init__(self, tokens: tuple[TokenAuthenticator, ...] = (), clock: Callable[[], float] = time.time) -> None:
        self._tokens = tokens
        self._clock = clock
        # Of each connection the user, and when the certificate ends.
        self._connections: WeakKeyDictionary[Any, tuple[User | None, float | None]] = WeakKeyDictionary()

    def authenticate(self, environ: MutableMapping[str, Any]) -> User:
        """Return the user, ANONYMOUS without credentials; raises Unauthorized for wrong ones."""
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
            user, end = self._connections[socket]
        except KeyError:
            user, end = self._connections[socket] = certified_user(socket.getpeercert), _not_after(socket.getpeercert())
        if end is not None and self._clock() > end:  # TLS has looked at it once, perhaps long ago
            raise Unauthorized("Unauthorized")
        return user


def bearer_token(environ: MutableMapping[str, Any]) -> str:
    """Return the token that a request carries, empty without one; raises Unauthorized for a malformed one."""
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return str(token.strip())
    offered = environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "")
    return _websocket_token(environ, [each.strip() for each in offered.split(",")]) if offered else ""


def _websocket_token(environ: MutableMapping[str, Any], offered: list[str]) -> str:
    """Take the token out of the offered subprotocols, so that no backend sees it. Another one must be left."""
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


def _not_after(certificate: Mapping[str, Any] | None) -> float | None:
    """Return when a certificate ends, in seconds since the epoch; None if there is none."""
    return float(ssl.cert_time_to_seconds(certificate["notAfter"])) if certificate else None


def certified_user(peer_certificate: Callable[[], Any]) -> User | None:
    """Return the user whom a verified certificate names, None without one; raises Unauthorized if it names none."""
    certificate = peer_certificate()
    if not certificate:
        return None
    subject = [pair for name in certificate.get("subject", ()) for pair in name]
    names = [value for key, value in subject if key == "commonName"]
    if not names or not names[-1]:
        raise Unauthorized("the client certificate has no common name, which would be the user's")
    groups = [value for key, value in subject if key == "organizationName"]
    return User(names[-1], (*groups, AUTHENTICATED))
