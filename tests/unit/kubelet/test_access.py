"""Who may ask a kubelet, with an API server that answers from a table."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from kubelet.server import access
from kubelet.server.access import CertificateGate, DelegatedGate
from machinery.errors import ApiError, Forbidden, InternalError, ServiceUnavailable, Unauthorized

ADMIN = {"subject": ((("organizationName", "ops"),), (("commonName", "ann"),))}
JOE = {"subject": ((("commonName", "joe"),),)}


class Reviews:
    """Ann and a robot may get nodes/log; joe nothing."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.error: ApiError | None = None

    def request(self, method: str, path: str, query: Any = None, body: Any = None) -> dict[str, Any]:
        if self.error:
            raise self.error
        spec = body["spec"]
        self.asked.append(spec)
        if path.endswith("/tokenreviews"):
            assert (body["kind"], body["apiVersion"]) == ("TokenReview", "authentication.k8s.io/v1")
            user = {"username": "robot", "groups": ["robots"], "uid": "u", "extra": {"a": ["b"]}}
            good = spec["token"] == "good"
            return {"status": {"authenticated": True, "user": user} if good else {"user": {}, "error": "no"}}
        assert (body["kind"], body["apiVersion"]) == ("SubjectAccessReview", "authorization.k8s.io/v1")
        attributes = spec["resourceAttributes"]
        assert (attributes["resource"], attributes["name"]) == ("nodes", "n1")
        what = (attributes["verb"], attributes["subresource"])
        return {"status": {"allowed": spec["user"] in ("ann", "robot") and what == ("get", "log")}}


@pytest.fixture
def reviews() -> Reviews:
    return Reviews()


@pytest.fixture
def gate(reviews: Reviews) -> DelegatedGate:
    return DelegatedGate(reviews, "n1")


def test_certificates(gate: DelegatedGate, reviews: Reviews) -> None:
    gate.check(ADMIN, "", "GET", "/logs/")
    assert reviews.asked[0]["groups"] == ["ops", "system:authenticated"]
    with pytest.raises(Forbidden) as caught:
        gate.check(JOE, "", "POST", "/exec/ns/p/c")
    assert caught.value.message == "Forbidden (user=joe, verb=create, resource=nodes, subresource(s)=[proxy])"


def test_a_certificate_that_has_ended_names_nobody(gate: DelegatedGate) -> None:
    ends: dict[str, Any] = {**ADMIN, "notAfter": "Nov 29 12:00:00 2026 GMT"}
    end = ssl.cert_time_to_seconds(ends["notAfter"])
    assert access.certified(ends, end) == access.certified(ADMIN)
    assert access.certified(ends, end + 1) is None
    past: dict[str, Any] = {**ADMIN, "notAfter": "Nov 29 12:00:00 2016 GMT"}
    for each in (gate, CertificateGate()):
        with pytest.raises(Unauthorized):
            each.check(past, "", "GET", "/logs/")


def test_tokens(gate: DelegatedGate, reviews: Reviews) -> None:
    gate.check({}, "Bearer good", "GET", "/logs/syslog")
    assert reviews.asked[1]["uid"] == "u" and reviews.asked[1]["extra"] == {"a": ["b"]}
    for bad in ("Bearer bad", "Basic good", ""):
        with pytest.raises(Unauthorized):
            gate.check({}, bad, "GET", "/logs/")


def test_answers_are_remembered_for_a_while(
    gate: DelegatedGate, reviews: Reviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("kubelet.server.access.time.monotonic", lambda: now)
    for _ in range(3):
        gate.check({}, "Bearer good", "GET", "/logs/")
        with pytest.raises(Forbidden):
            gate.check(JOE, "", "GET", "/logs/")
    assert len(reviews.asked) == 3
    now += access.REFUSED_TTL + 1
    gate.check({}, "Bearer good", "GET", "/logs/")
    with pytest.raises(Forbidden):
        gate.check(JOE, "", "GET", "/logs/")
    assert len(reviews.asked) == 4
    now += access.ALLOWED_TTL
    gate.check({}, "Bearer good", "GET", "/logs/")
    assert len(reviews.asked) == 6


def test_the_memory_is_bounded(gate: DelegatedGate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "MOST_REMEMBERED", 10)
    for number in range(50):
        with pytest.raises(Unauthorized):
            gate.check({}, f"Bearer {number}", "GET", "/logs/")
    assert len(gate._callers._known) <= 10


def test_nobody_gets_in_while_nobody_can_be_asked(gate: DelegatedGate, reviews: Reviews) -> None:
    reviews.error = ServiceUnavailable("away")
    with pytest.raises(InternalError, match=r"Authorization error \(user=ann, verb=get"):
        gate.check(ADMIN, "", "GET", "/logs/")
    with pytest.raises(Unauthorized):
        gate.check({}, "Bearer good", "GET", "/logs/")
    reviews.error = None
    gate.check(ADMIN, "", "GET", "/logs/")
    reviews.error = ServiceUnavailable("away")
    gate.check(ADMIN, "", "GET", "/logs/")


def test_a_kubelet_that_asks_nobody_lets_in_who_has_a_certificate_of_the_cluster() -> None:
    gate = CertificateGate()
    gate.check({"subject": ((("commonName", "anybody"),),)}, "", "POST", "/exec/default/pod/container")
    for authorization in ("", "Bearer token"):
        with pytest.raises(Unauthorized):
            gate.check({}, authorization, "GET", "/pods")
