"""Certificate requests: what may be asked, who writes which part, and what may never be taken back."""

from __future__ import annotations

import base64
import copy
import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from unit.apiserver_kinds.test_admission import Objects

from apiserver.admission import certificates as plugins
from apiserver.admission.plugin import Plugin
from apiserver.api.tables import cells
from apiserver.kinds.certificatesigningrequests import CERTIFICATE_SIGNING_REQUESTS as CSRS
from apiserver.kinds.certificatesigningrequests import validate_signer_name
from apiserver.model.attributes import Attributes
from apiserver.model.user import User
from apiserver.registry.admissionrequest import AdmissionRequest
from apiserver.registry.writerequest import WriteRequest
from machinery.errors import Forbidden

Object = dict[str, Any]
STRATEGY = CSRS.strategy
SIGNER = "kubernetes.io/kube-apiserver-client"
KEY = ec.generate_private_key(ec.SECP256R1())


def name(common: str, *organizations: str) -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in organizations]
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def request_pem(*organizations: str) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(name("ana", *organizations))
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM)


def certificate_pem() -> bytes:
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name("ana")).issuer_name(name("ca")).public_key(KEY.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start + datetime.timedelta(1))
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM)


def encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


CERTIFICATE = encoded(certificate_pem())
REQUEST = encoded(request_pem())


def csr(*conditions: Object, certificate: str = "", **spec: Any) -> Object:
    status: Object = {"conditions": list(conditions)} if conditions else {}
    if certificate:
        status["certificate"] = certificate
    spec = {"request": REQUEST, "signerName": SIGNER, "usages": ["client auth"], **spec}
    return {"metadata": {"name": "ana"}, "spec": spec, "status": status}


def condition(type: str, status: str = "True", **fields: Any) -> Object:
    return {"type": type, "status": status, **fields}


def told(errors: Any) -> list[str]:
    return [str(error) for error in errors]


def test_the_creator_is_recorded_whatever_the_client_says() -> None:
    obj = csr(username="root", uid="0", groups=["system:masters"], extra={"a": ["b"]})
    STRATEGY.record_creator(obj, User("ana", ("devs",), extra={"scopes": ("x",)}))
    assert {field: obj["spec"].get(field) for field in ("username", "uid", "groups", "extra")} == {
        "username": "ana",
        "uid": None,
        "groups": ["devs"],
        "extra": {"scopes": ["x"]},
    }
    obj = csr(condition("Approved"))
    STRATEGY.prepare_create(obj)
    assert obj["status"] == {}, "nobody creates an approved request"


@pytest.mark.parametrize(
    "spec, errors",
    [
        ({}, []),
        ({"usages": []}, ["spec.usages: Required value: usages must be provided"]),
        ({"usages": ["client auth", "client auth"]}, ['spec.usages[1]: Duplicate value: "client auth"']),
        ({"expirationSeconds": 600}, []),
        (
            {"expirationSeconds": 599},
            [
                "spec.expirationSeconds: Invalid value: 599: "
                "may not specify a duration less than 600 seconds (10 minutes)"
            ],
        ),
        (
            {"signerName": "kubernetes.io/legacy-unknown"},
            [
                'spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": '
                "the legacy signerName is not allowed via this API version"
            ],
        ),
        (
            {"request": encoded(b"no")},
            ["spec.request: Invalid value: []byte{0x6e, 0x6f}: PEM block type must be CERTIFICATE REQUEST"],
        ),
    ],
)
def test_what_may_be_asked(spec: Object, errors: list[str]) -> None:
    assert told(STRATEGY.validate(csr(**spec))) == errors


def test_an_unknown_usage_is_answered_with_all_there_are() -> None:
    [error] = told(STRATEGY.validate(csr(usages=["fun"])))
    assert error.startswith('spec.usages[0]: Unsupported value: "fun": supported values: "any", "cert sign", ')


def test_a_request_must_be_signed_by_its_own_key() -> None:
    lines = request_pem().decode().splitlines()
    body = bytearray(base64.b64decode("".join(lines[1:-1])))
    body[-1] ^= 1
    forged = f"-----BEGIN CERTIFICATE REQUEST-----\n{encoded(bytes(body))}\n-----END CERTIFICATE REQUEST-----\n"
    [error] = told(STRATEGY.validate(csr(request=encoded(forged.encode()))))
    assert error.endswith("x509: ECDSA verification failure")
    [error] = told(STRATEGY.validate(csr(request=CERTIFICATE)))
    assert error.endswith("PEM block type must be CERTIFICATE REQUEST")


@pytest.mark.parametrize(
    "signer, errors",
    [
        ("example.com/e2e-1", []),
        ("example.com/ns.some.name", []),
        ("", ["s: Required value: signerName must be provided"]),
        (
            "example.com",
            [
                's: Invalid value: "example.com": must be a fully qualified domain and path of the form '
                "'example.com/signer-name'"
            ],
        ),
        ("example/x", ['s: Invalid value: "example": should be a domain with at least two segments separated by dots']),
    ],
)
def test_names_of_signers(signer: str, errors: list[str]) -> None:
    assert told(validate_signer_name("s", signer)) == errors


def test_a_bad_label_in_a_signers_name_is_told_once() -> None:
    [domain, path] = told(validate_signer_name("s", "Exa.Com/A.B"))
    assert domain.startswith('s: Invalid value: "Exa.Com": validating label "Exa": ')
    assert path.startswith('s: Invalid value: "A.B": validating label "A": ')


def through(part: str, new: Object, old: Object) -> list[str]:
    if part == "status":
        STRATEGY.prepare_status_update(new, old)
        return told(STRATEGY.validate_status_update(new, old))
    if part:
        STRATEGY.prepare_part_update(part, new, old)
        return told(STRATEGY.validate_part_update(part, new, old))
    STRATEGY.prepare_update(new, old)
    return told(STRATEGY.validate_update(new, old))


def test_the_request_itself_never_changes() -> None:
    new, old = csr(condition("Approved"), certificate=CERTIFICATE, usages=["any"]), csr()
    assert through("", new, old) == []
    assert (new["spec"], new["status"]) == (old["spec"], {})


def test_approval_writes_conditions_and_nothing_else() -> None:
    new, old = csr(condition("Approved", reason="r"), certificate=CERTIFICATE, usages=["any"]), csr()
    assert through("approval", new, old) == []
    [approved] = new["status"]["conditions"]
    assert (approved["reason"], "certificate" in new["status"]) == ("r", False)
    assert approved["lastUpdateTime"] and approved["lastTransitionTime"]
    assert new["spec"] == old["spec"]


@pytest.mark.parametrize(
    "conditions, errors",
    [
        (
            [condition("Approved"), condition("Denied")],
            ['[1].type: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive'],
        ),
        ([condition("Approved", "False")], ['[0].status: Unsupported value: "False": supported values: "True"']),
        ([condition("Approved", "")], ["[0].status: Required value"]),
        ([condition("Odd"), condition("Odd")], ['[1].type: Duplicate value: "Odd"']),
        ([condition("")], ["[0].type: Required value"]),
        (
            [condition("Odd", "Maybe")],
            ['[0].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown"'],
        ),
    ],
)
def test_conditions(conditions: list[Object], errors: list[str]) -> None:
    assert through("approval", csr(*copy.deepcopy(conditions)), csr()) == ["status.conditions" + e for e in errors]


@pytest.mark.parametrize("part", ["approval", "status"])
@pytest.mark.parametrize("type", ["Approved", "Denied", "Failed"])
def test_what_was_said_is_not_taken_back(part: str, type: str) -> None:
    assert through(part, csr(), csr(condition(type))) == [
        f'status.conditions: Forbidden: updates may not remove a condition of type "{type}"'
    ]


def test_signers_set_the_certificate_once_and_do_not_approve() -> None:
    old = csr(condition("Approved", reason="by ana"))
    signed = csr(condition("Approved", reason="other"), condition("Ready"), certificate=CERTIFICATE)
    assert through("status", signed, old) == []
    assert signed["status"]["conditions"][0]["reason"] == "by ana"
    assert through("status", csr(condition("Denied")), csr()) == [
        'status.conditions: Forbidden: updates may not add a condition of type "Denied"'
    ]
    again = encoded(certificate_pem())
    assert through("status", csr(certificate=again), csr(certificate=CERTIFICATE)) == [
        "status.certificate: Forbidden: updates may not modify existing certificate content"
    ]
    assert through("status", csr(condition("Failed")), csr()) == []


@pytest.mark.parametrize(
    "pem, why",
    [
        (b"nothing", "must contain at least one CERTIFICATE PEM block"),
        (request_pem(), 'only CERTIFICATE PEM blocks are allowed, found "CERTIFICATE REQUEST"'),
        (certificate_pem().replace(b"-----\n", b"-----\nA: b\n\n", 1), "no PEM block headers are permitted"),
    ],
)
def test_a_certificate_is_nothing_else(pem: bytes, why: str) -> None:
    assert through("status", csr(certificate=encoded(pem)), csr()) == [
        f'status.certificate: Invalid value: "<certificate data>": {why}'
    ]


def test_the_time_of_a_change_is_kept_while_nothing_changes() -> None:
    earlier = condition("Ready", lastTransitionTime="2020-01-01T00:00:00Z", lastUpdateTime="2020-01-01T00:00:00Z")
    new = csr(condition("Ready"))
    assert through("status", new, csr(earlier)) == []
    [ready] = new["status"]["conditions"]
    assert ready["lastTransitionTime"] == "2020-01-01T00:00:00Z" != ready["lastUpdateTime"]


@pytest.mark.parametrize(
    "obj, shown",
    [
        (csr(), "Pending"),
        (csr(condition("Approved"), certificate=CERTIFICATE), "Approved,Issued"),
        (csr(condition("Approved"), condition("Failed")), "Approved,Failed"),
        (csr(condition("Denied")), "Denied"),
    ],
)
def test_what_kubectl_shows(obj: Object, shown: str) -> None:
    obj["spec"] |= {"username": "ana", "expirationSeconds": 3600}
    assert cells(CSRS, obj) == ["ana", "<unknown>", SIGNER, "ana", "60m", shown]


class Signers:
    """An authorizer for which each of a user's groups is a signer that she may approve for and sign as."""

    def require(self, asked: Attributes) -> None:
        raise NotImplementedError

    def allows(self, asked: Attributes) -> bool:
        assert (asked.group, asked.resource, asked.namespace) == ("certificates.k8s.io", "signers", "")
        return asked.verb in ("approve", "sign") and asked.name in asked.user.groups


def ask(plugin: Plugin, subresource: str, new: Object, old: Object | None, *groups: str) -> None:
    operation = "UPDATE" if old else "CREATE"
    write = WriteRequest(CSRS, "", "ana", User("bob", groups), subresource)
    request = AdmissionRequest(operation, write, new, old, Objects())
    if plugin.handles(request):
        plugin.validate(request)


def test_who_may_approve_and_sign() -> None:
    approved, signed = csr(condition("Approved")), csr(certificate=CERTIFICATE)
    with pytest.raises(Forbidden) as error:
        ask(plugins.CertificateApproval(Signers()), "approval", approved, csr())
    assert error.value.message == (
        'certificatesigningrequests.certificates.k8s.io "ana" is forbidden: '
        f'user not permitted to approve requests with signerName "{SIGNER}"'
    )
    with pytest.raises(Forbidden, match="user not permitted to sign requests with signerName"):
        ask(plugins.CertificateSigning(Signers()), "status", signed, csr())
    ask(plugins.CertificateSigning(Signers()), "status", csr(), csr())
    ask(plugins.CertificateApproval(Signers()), "status", signed, csr())
    for plugin, subresource, obj in (
        (plugins.CertificateApproval(Signers()), "approval", approved),
        (plugins.CertificateSigning(Signers()), "status", signed),
    ):
        ask(plugin, subresource, obj, csr(), SIGNER)
        ask(plugin, subresource, obj, csr(), "kubernetes.io/*")


def test_nobody_asks_to_be_all_powerful() -> None:
    plugin = plugins.CertificateSubjectRestriction()
    powerful = csr(request=encoded(request_pem("devs", "system:masters")))
    with pytest.raises(Forbidden, match=f"use of {SIGNER} signer with system:masters group is not allowed"):
        ask(plugin, "", powerful, None, "system:masters")
    powerful["spec"]["signerName"] = "example.com/own"
    ask(plugin, "", powerful, None)
    ask(plugin, "", csr(), None)


def test_damaged_requests_are_refused_and_nothing_else_happens() -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(name("ana", "devs"))
    names = x509.SubjectAlternativeName([x509.DNSName("ana.example.com")])
    der = builder.add_extension(names, critical=False).sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)
    for at in range(len(der)):
        damaged = base64.b64encode(der[:at] + bytes([der[at] ^ 0x15]) + der[at + 1 :]).decode()
        pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{damaged}\n-----END CERTIFICATE REQUEST-----\n"
        [error] = STRATEGY.validate(csr(request=encoded(pem.encode())))
        assert error.field == "spec.request"
