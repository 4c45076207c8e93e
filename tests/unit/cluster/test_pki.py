"""Certificates are kept while they are good, and made again when they are not."""

from __future__ import annotations

import datetime
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from cluster import pki
from cluster.settings import State

NOW = datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC)
ALL = [
    "ca",
    "apiserver",
    "kubelet",
    "admin",
    "developer",
    "apiserver-kubelet-client",
    "kubelet-client",
    "controllers",
    "scheduler",
    "proxy",
    "sa",
]


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path)
    assert pki.ensure(state, "node", "172.17.0.1", now=NOW) == ALL
    return state


def certificate(state: State, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((state.pki / f"{name}.crt").read_bytes())


def test_a_second_time_changes_nothing(state: State) -> None:
    assert pki.ensure(state, "node", "172.17.0.1", now=NOW) == []


def test_keys_are_readable_by_their_owner_alone(state: State) -> None:
    assert stat.S_IMODE(state.pki.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in state.pki.glob("*.key")} == {0o600}


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("admin", "CN=admin,O=system:masters"),
        ("kubelet-client", "CN=system:node:node,O=system:nodes"),
        ("kubelet", "CN=system:node:node,O=system:nodes"),
        ("controllers", "CN=system:kube-controller-manager"),
        ("scheduler", "CN=system:kube-scheduler"),
        ("developer", "CN=developer,O=developers"),
        ("proxy", "CN=system:kube-proxy"),
        ("apiserver-kubelet-client", "CN=kube-apiserver-kubelet-client"),
    ],
)
def test_holders_are_who_the_authorizer_expects(state: State, name: str, subject: str) -> None:
    assert certificate(state, name).subject.rfc4514_string() == subject


def test_the_api_server_serves_under_every_name_that_it_is_called_by(state: State) -> None:
    names = pki._names(certificate(state, "apiserver"))
    assert {"kubernetes.default.svc.cluster.local", "kubernetes", "localhost", "127.0.0.1", "172.30.0.1"} <= names
    assert {"172.17.0.1", "node"} <= names


def test_openssl_takes_them(state: State) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_verify_locations(state.pki / "ca.crt")
    context.load_cert_chain(state.pki / "apiserver.crt", state.pki / "apiserver.key")


def test_one_near_its_end_is_renewed_and_the_authority_stays(state: State) -> None:
    assert pki.ensure(state, "node", "172.17.0.1", now=NOW + datetime.timedelta(days=334)) == []
    made = pki.ensure(state, "node", "172.17.0.1", now=NOW + datetime.timedelta(days=336))
    assert made == ALL[1:-1]


def test_a_clock_that_was_set_back_renews(state: State) -> None:
    assert "admin" in pki.ensure(state, "node", "172.17.0.1", now=NOW - datetime.timedelta(days=1))


def test_a_new_address_renews_only_who_serves_there(state: State) -> None:
    assert pki.ensure(state, "node", "172.18.0.1", now=NOW) == ["apiserver", "kubelet"]


@pytest.mark.parametrize("content", [b"", b"no PEM at all", None])
def test_a_broken_or_missing_file_is_made_again(state: State, content: bytes | None) -> None:
    path = state.pki / "proxy.key"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert pki.ensure(state, "node", "172.17.0.1", now=NOW) == ["proxy"]


def test_a_key_of_another_certificate_is_made_again(state: State) -> None:
    (state.pki / "proxy.key").write_bytes((state.pki / "admin.key").read_bytes())
    assert pki.ensure(state, "node", "172.17.0.1", now=NOW) == ["proxy"]


def test_a_new_authority_renews_all_it_signs_but_not_the_token_key(state: State) -> None:
    before = (state.pki / "sa.key").read_bytes()
    (state.pki / "ca.crt").unlink()
    assert pki.ensure(state, "node", "172.17.0.1", now=NOW) == ALL[:-1]
    assert (state.pki / "sa.key").read_bytes() == before
