"""Who asks: certificates and tokens."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from apiserver.authn import ANONYMOUS, Authenticator, TokenFile, certified_user
from apiserver.kind import Kind
from apiserver.request import User
from apiserver.tokens import Signer, Verifier, read_public_keys
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
    assert tokens.authenticate("t1") == User("jane", ("devs", "ops", AUTHENTICATED), "7")
    assert tokens.authenticate("t2") == User("joe", (AUTHENTICATED,), "8")
    assert tokens.authenticate("t") is None
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

    def get(self, kind: Kind, namespace: str, name: str, *, fresh: bool = False) -> Object | None:
        return self.objects.get((kind.kind, name))

    def await_object(self, kind: Kind, namespace: str, name: str, seconds: float) -> Object | None:
        return self.get(kind, namespace, name)

    def list(self, kind: Kind, namespace: str = "", *, fresh: bool = False) -> list[Object]:
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
    "serviceaccount": Kind("", "v1", "ServiceAccount", "serviceaccounts", ""),
    "pod": Kind("", "v1", "Pod", "pods", ""),
    "secret": Kind("", "v1", "Secret", "secrets", ""),
    "node": Kind("", "v1", "Node", "nodes", "", namespaced=False),
}


def verifier(key_file: Path, *objects: Object) -> Verifier:
    return Verifier(read_public_keys(key_file), "issuer", ["api"], Objects(*objects), KINDS)


def test_a_token_tells_whose_it_is(key_file: Path) -> None:
    token, _ = Signer(key_file, "issuer").sign(ACCOUNT, ["api"], 600, ("pod", POD))
    node = named("Node", "n1", "u3")
    user = verifier(key_file, ACCOUNT, POD, node).authenticate(token)
    assert user is not None
    assert user.name == "system:serviceaccount:ns:robot"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", AUTHENTICATED)
    assert user.uid == "u1"
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("p",)


def test_a_token_is_no_longer_good(key_file: Path) -> None:
    token, _ = Signer(key_file, "issuer").sign(ACCOUNT, ["api"], 600, ("pod", POD))
    assert verifier(key_file, ACCOUNT).authenticate(token) is None, "its pod is gone"
    assert verifier(key_file, POD).authenticate(token) is None, "its account is gone"
    assert verifier(key_file, named("ServiceAccount", "robot", "other"), POD).authenticate(token) is None
    deleted = {**POD, "metadata": {**POD["metadata"], "deletionTimestamp": "2020-01-01T00:00:00Z"}}
    assert verifier(key_file, ACCOUNT, deleted).authenticate(token) is None
    expired, _ = Signer(key_file, "issuer").sign(ACCOUNT, ["api"], -60, None)
    assert verifier(key_file, ACCOUNT).authenticate(expired) is None


def test_a_token_that_was_good_expires(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checking = verifier(key_file, ACCOUNT)
    token, _ = Signer(key_file, "issuer").sign(ACCOUNT, ["api"], 600, None)
    assert checking.authenticate(token)
    later = time.time() + 700
    monkeypatch.setattr("apiserver.tokens.time.time", lambda: later)
    assert checking.authenticate(token) is None


def test_tokens_that_are_not_ours(key_file: Path, tmp_path: Path) -> None:
    checking = verifier(key_file, ACCOUNT)
    for issuer, audiences in (("other", ["api"]), ("issuer", ["vault"])):
        token, _ = Signer(key_file, issuer).sign(ACCOUNT, audiences, 600, None)
        assert checking.authenticate(token) is None
    other = tmp_path / "other.key"
    key = ec.generate_private_key(ec.SECP256R1())
    other.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    token, _ = Signer(other, "issuer").sign(ACCOUNT, ["api"], 600, None)
    assert checking.authenticate(token) is None
    unsigned = jwt.encode(jwt.decode(token, options={"verify_signature": False}), "", "none")
    for text in (unsigned, "", "x", "x.y.z", token[:-4]):
        assert checking.authenticate(text) is None


def test_review_for_another_audience(key_file: Path) -> None:
    token, _ = Signer(key_file, "issuer").sign(ACCOUNT, ["vault"], 600, None)
    checking = verifier(key_file, ACCOUNT)
    assert checking.review(token, ["vault", "x"]) is not None
    assert checking.review(token, []) is None
