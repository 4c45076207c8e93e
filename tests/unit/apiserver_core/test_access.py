"""Who asks: certificates and tokens."""

from __future__ import annotations

import ssl
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from apiserver.authorization.authn import ANONYMOUS, Authenticator, TokenFile, TokenRefused, certified_user
from apiserver.authorization.tokens import Bound, Signer, Verifier, read_public_keys
from apiserver.model.exchange import EXCHANGE
from apiserver.model.kind import Kind
from apiserver.model.user import User
from apiserver.schema.codec import UpstreamCodec
from machinery.errors import Unauthorized
from machinery.objects import Object

AUTHENTICATED = "system:authenticated"


def test_a_certificate_names_user_and_groups() -> None:
    subject = ((("organizationName", "system:masters"),), (("organizationName", "x"),), (("commonName", "admin"),))
    user = certified_user(lambda: {"subject": subject})
    assert user == User("admin", ("system:masters", "x", AUTHENTICATED))
    assert certified_user(lambda: None) is None
    with pytest.raises(Unauthorized):
        certified_user(lambda: {"subject": ()})


def test_a_token_file(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text('# comment\nt1,jane,7,"devs,ops"\nt2,joe,8\n')
    tokens = TokenFile(file)
    assert tokens.identify("t1") == (User("jane", ("devs", "ops", AUTHENTICATED), "7"), ())
    assert tokens.identify("t2") == (User("joe", (AUTHENTICATED,), "8"), ())
    assert tokens.identify("t") is None
    file.write_text("t1,jane\n")
    with pytest.raises(ValueError, match=":1: a line must be"):
        TokenFile(file)


def test_bearer_tokens(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("t1,jane,7\n")
    authenticator = Authenticator((TokenFile(file),))
    assert authenticator.authenticate({"HTTP_AUTHORIZATION": "bearer  t1"}).name == "jane"
    assert authenticator.authenticate({}) == ANONYMOUS
    with pytest.raises(Unauthorized):
        authenticator.authenticate({"HTTP_AUTHORIZATION": "Bearer wrong"})


class Objects:
    """A Reader over a dict."""

    def __init__(self, *objects: Object) -> None:
        self.objects = {(obj["kind"], obj["metadata"]["name"]): obj for obj in objects}

    def get(self, kind: Kind, namespace: str, name: str, *, consistent: bool = False) -> Object | None:
        return self.objects.get((kind.kind, name))

    def await_object(self, kind: Kind, namespace: str, name: str, seconds: float) -> Object | None:
        return self.get(kind, namespace, name)

    def list(self, kind: Kind, namespace: str = "", *, consistent: bool = False) -> list[Object]:
        return []


def named(kind: str, name: str, uid: str, **more: Any) -> Object:
    return {"kind": kind, "metadata": {"name": name, "namespace": "ns", "uid": uid}, **more}


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "sa.key"
    key = ec.generate_private_key(ec.SECP256R1())
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return file


ACCOUNT, POD = named("ServiceAccount", "robot", "u1"), named("Pod", "p", "u2", spec={"nodeName": "n1"})
KINDS = {
    "serviceaccount": Kind("", "v1", "ServiceAccount", "serviceaccounts", UpstreamCodec("")),
    "pod": Kind("", "v1", "Pod", "pods", UpstreamCodec("")),
    "secret": Kind("", "v1", "Secret", "secrets", UpstreamCodec("")),
    "node": Kind("", "v1", "Node", "nodes", UpstreamCodec(""), namespaced=False),
}


def verifier(key_file: Path, *objects: Object) -> Verifier:
    return Verifier(read_public_keys(key_file), "issuer", ["api"], Objects(*objects), KINDS)


def whose(verifier: Verifier, token: str, *audiences: str) -> User:
    found = verifier.identify(token, audiences)
    assert found is not None
    return found.user


def why_not(verifier: Verifier, token: str, *audiences: str) -> str:
    with pytest.raises(TokenRefused) as caught:
        verifier.identify(token, audiences)
    return str(caught.value)


def test_a_token_tells_whose_it_is(key_file: Path) -> None:
    node = named("Node", "n1", "u3")
    token, _ = Signer(key_file, "issuer").sign(ACCOUNT, ["api"], 600, Bound("pod", POD, node))
    user = whose(verifier(key_file, ACCOUNT, POD), token)
    assert user.name == "system:serviceaccount:ns:robot"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", AUTHENTICATED)
    assert user.uid == "u1"
    extra = {key.removeprefix("authentication.kubernetes.io/"): values for key, values in user.extra.items()}
    assert extra.pop("credential-id")[0].startswith("JTI=")
    assert extra == {"pod-name": ("p",), "pod-uid": ("u2",), "node-name": ("n1",), "node-uid": ("u3",)}


def test_a_token_is_no_longer_good(key_file: Path) -> None:
    token, _ = Signer(key_file, "issuer").sign(ACCOUNT, ["api"], 600, Bound("pod", POD))
    invalidated = "service account token has been invalidated"
    assert why_not(verifier(key_file, ACCOUNT), token) == invalidated, "its pod is gone"
    assert why_not(verifier(key_file, POD), token) == 'serviceaccounts "robot" not found'
    other = named("ServiceAccount", "robot", "other")
    assert why_not(verifier(key_file, other, POD), token) == "service account UID (other) does not match claim (u1)"
    other = named("Pod", "p", "other")
    assert why_not(verifier(key_file, ACCOUNT, other), token) == "pod ref UID (other) does not match claim (u2)"
    deleted = {**POD, "metadata": {**POD["metadata"], "deletionTimestamp": "2020-01-01T00:00:00Z"}}
    assert why_not(verifier(key_file, ACCOUNT, deleted), token) == invalidated
    expired, _ = Signer(key_file, "issuer").sign(ACCOUNT, ["api"], -120, None)
    assert why_not(verifier(key_file, ACCOUNT), expired) == "service account token has expired"


def test_a_token_of_a_node_ends_with_it(key_file: Path) -> None:
    node = named("Node", "n1", "u3")
    token, _ = Signer(key_file, "issuer").sign(ACCOUNT, ["api"], 600, Bound("node", node))
    assert whose(verifier(key_file, ACCOUNT, node), token).extra["authentication.kubernetes.io/node-name"] == ("n1",)
    assert why_not(verifier(key_file, ACCOUNT), token) == "service account token has been invalidated"


def test_a_token_that_was_good_expires(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checking = verifier(key_file, ACCOUNT)
    token, _ = Signer(key_file, "issuer").sign(ACCOUNT, ["api"], 600, None)
    assert whose(checking, token)
    later = time.time() + 700
    monkeypatch.setattr("apiserver.authorization.tokens.time.time", lambda: later)
    assert why_not(checking, token) == "service account token has expired"


def test_a_token_is_verified_once_and_ends_all_the_same(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str] = []
    decode = jwt.decode

    def counting(token: str, *more: Any, **options: Any) -> Any:
        verified.append(token)
        return decode(token, *more, **options)

    monkeypatch.setattr(jwt, "decode", counting)
    tokens = verifier(key_file)
    token, _ = Signer(key_file, "issuer").sign(ACCOUNT, ["api"], 600, Bound("pod", POD))
    tokens._reader = Objects(ACCOUNT, POD)
    assert whose(tokens, token) is whose(tokens, token)
    assert verified == [token]
    assert token.encode() not in b"".join(tokens._verified)
    tokens._reader = Objects(ACCOUNT)
    assert why_not(tokens, token) == "service account token has been invalidated"
    tokens._reader = Objects(ACCOUNT, named("Pod", "p", "another"))
    assert why_not(tokens, token) == "pod ref UID (another) does not match claim (u2)"
    tokens._reader = Objects(POD)
    assert why_not(tokens, token) == 'serviceaccounts "robot" not found'
    assert verified == [token]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 700)
    assert why_not(tokens, token) == "service account token has expired"
    assert not tokens._verified


def test_only_so_many_tokens_are_remembered(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apiserver.authorization.tokens._REMEMBERED", 3)
    tokens = verifier(key_file, ACCOUNT)
    signer = Signer(key_file, "issuer")
    for _ in range(5):
        assert whose(tokens, signer.sign(ACCOUNT, ["api"], 600)[0]).name == "system:serviceaccount:ns:robot"
    assert len(tokens._verified) == 3


def test_a_token_may_be_good_for_longer_than_it_says(key_file: Path) -> None:
    token, expires = Signer(key_file, "issuer").sign(ACCOUNT, ["api"], 9000, None, 600)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 9000
    assert claims["kubernetes.io"]["warnafter"] - claims["iat"] == 600 == expires.timestamp() - claims["iat"]


def test_tokens_that_are_not_ours(key_file: Path, tmp_path: Path) -> None:
    checking = verifier(key_file, ACCOUNT)
    token, _ = Signer(key_file, "other").sign(ACCOUNT, ["api"], 600, None)
    assert checking.identify(token) is None
    other = tmp_path / "other.key"
    key = ec.generate_private_key(ec.SECP256R1())
    other.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    token, _ = Signer(other, "issuer").sign(ACCOUNT, ["api"], 600, None)
    assert checking.identify(token) is None
    unsigned = jwt.encode(jwt.decode(token, options={"verify_signature": False}), "", "none")
    for text in (unsigned, "", "x", "x.y.z", token[:-4]):
        assert checking.identify(text) is None


def test_audiences(key_file: Path) -> None:
    token, _ = Signer(key_file, "issuer").sign(ACCOUNT, ["vault", "api"], 600, None)
    checking = verifier(key_file, ACCOUNT)
    found = checking.identify(token, ["vault", "x"])
    assert found is not None and found.audiences == ("vault",)
    found = checking.identify(token)
    assert found is not None and found.audiences == ("api",)
    said = 'token audiences ["vault" "api"] is invalid for the target audiences ["x"]'
    assert why_not(checking, token, "x") == said
    token, _ = Signer(key_file, "issuer").sign(ACCOUNT, ["vault"], 600, None)
    assert why_not(checking, token) == 'token audiences ["vault"] is invalid for the target audiences ["api"]'


def test_a_websocket_carries_its_token_among_its_protocols(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("t1,jane,7\n")
    authenticator = Authenticator((TokenFile(file),))
    protocol = "base64url.bearer.authorization.k8s.io.dDE"
    environ = {"HTTP_SEC_WEBSOCKET_PROTOCOL": f"v4.channel.k8s.io, {protocol}"}
    assert authenticator.authenticate(environ).name == "jane"
    assert environ["HTTP_SEC_WEBSOCKET_PROTOCOL"] == "v4.channel.k8s.io"
    for offered in (protocol, f"{protocol}, {protocol}, x", "x, base64url.bearer.authorization.k8s.io.%"):
        with pytest.raises(Unauthorized):
            authenticator.authenticate({"HTTP_SEC_WEBSOCKET_PROTOCOL": offered})
    assert authenticator.authenticate({"HTTP_SEC_WEBSOCKET_PROTOCOL": "v4.channel.k8s.io"}) == ANONYMOUS


def test_a_connection_does_not_outlive_its_certificate() -> None:
    class Tls(ssl.SSLSocket):
        def __init__(self) -> None:
            """Nothing of a socket is needed."""

        def getpeercert(self, binary_form: bool = False) -> Any:
            return {"subject": ((("commonName", "admin"),),), "notAfter": "Nov 29 12:00:00 2026 GMT"}

    now = ssl.cert_time_to_seconds("Nov 29 12:00:00 2026 GMT")
    exchange = SimpleNamespace(socket=Tls())
    clock = iter((now - 1, now, now + 1))
    authenticator = Authenticator(clock=lambda: next(clock))
    assert authenticator.authenticate({EXCHANGE: exchange}).name == "admin"
    assert authenticator.authenticate({EXCHANGE: exchange}).name == "admin"
    with pytest.raises(Unauthorized):
        authenticator.authenticate({EXCHANGE: exchange})
