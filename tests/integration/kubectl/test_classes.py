"""What people do with kubectl to classes, certificate requests, events and pod security."""

from __future__ import annotations

import base64

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from e2e.harness import Kubectl

from machinery.objects import Object

pytestmark = pytest.mark.client("kubectl")
verb = pytest.mark.verb


def words(line: str) -> list[str]:
    """A row without what changes: the age."""
    return [word for word in line.split() if not word[0].isdigit() or word.isdigit()]


def head(kubectl: Kubectl, *command: str) -> list[str]:
    return kubectl(*command).splitlines()[0].split()


def row(kubectl: Kubectl, *command: str) -> list[str]:
    [line] = kubectl(*command, "--no-headers").splitlines()
    return words(line)


def apply(kubectl: Kubectl, *objects: Object) -> str:
    return kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))


def test_priority_classes(kubectl: Kubectl) -> None:
    name = f"high-{kubectl.namespace}"
    kubectl("create", "priorityclass", name, "--value=1000", "--description=matters")
    assert head(kubectl, "get", "pc") == ["NAME", "VALUE", "GLOBAL-DEFAULT", "AGE", "PREEMPTIONPOLICY"]
    assert row(kubectl, "get", "pc", name) == [name, "1000", "false", "PreemptLowerPriority"]
    described = kubectl("describe", "priorityclass", name)
    assert "Value:" in described and "1000" in described and "matters" in described
    refused = kubectl.fails("patch", "priorityclass", name, "-p", '{"value": 1001}')
    assert "value: Forbidden: may not be changed in an update." in refused
    assert "this is a system priority class and cannot be deleted" in kubectl.fails(
        "delete", "priorityclass", "system-node-critical"
    )
    kubectl("run", "important", "--image=x", "--overrides", f'{{"spec":{{"priorityClassName":"{name}"}}}}')
    assert kubectl("get", "pod", "important", "-o", "jsonpath={.spec.priority}") == "1000"
    kubectl("delete", "pod", "important", "--now")
    kubectl("delete", "priorityclass", name)


def test_runtime_classes(kubectl: Kubectl) -> None:
    name = f"sandboxed-{kubectl.namespace}"
    identity = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}}
    apply(kubectl, {**identity, "handler": "runsc", "overhead": {"podFixed": {"memory": "64Mi"}}})
    assert head(kubectl, "get", "runtimeclass") == ["NAME", "HANDLER", "AGE"]
    assert row(kubectl, "get", "runtimeclass", name) == [name, "runsc"]
    assert "runsc" in kubectl("describe", "runtimeclass", name)
    kubectl("delete", "runtimeclass", name)


def test_pod_templates(kubectl: Kubectl) -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "nginx"}]}}
    apply(kubectl, {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "web"}, "template": template})
    assert kubectl("get", "podtemplates", "web", "--no-headers").split() == ["web", "a", "nginx", "app=web"]
    assert "Container" in kubectl("describe", "podtemplate", "web")


@pytest.fixture
def csr(kubectl: Kubectl) -> str:
    """The name of a request that waits."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ana")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    pem = request.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.PEM)
    spec = {
        "request": base64.b64encode(pem).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "expirationSeconds": 3600,
        "usages": ["client auth"],
    }
    identity = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest"}
    made = kubectl(
        "create", "-f", "-", stdin=yaml.safe_dump({**identity, "metadata": {"generateName": "ana-"}, "spec": spec})
    )
    return made.split()[0].partition("/")[2]


@verb("certificate")
def test_a_certificate_request_is_approved(kubectl: Kubectl, csr: str) -> None:
    columns = ["NAME", "AGE", "SIGNERNAME", "REQUESTOR", "REQUESTEDDURATION", "CONDITION"]
    assert head(kubectl, "get", "csr") == columns
    assert row(kubectl, "get", "csr", csr)[1:] == ["kubernetes.io/kube-apiserver-client", "admin", "Pending"]
    assert kubectl("certificate", "approve", csr).endswith(" approved\n")
    assert row(kubectl, "get", "csr", csr)[-1] == "Approved"
    described = kubectl("describe", "csr", csr)
    assert "Requesting User:" in described and "admin" in described and "Common Name:" in described
    assert kubectl.run("certificate", "deny", csr).returncode != 0, "an approval is not taken back"


@verb("certificate")
def test_a_certificate_request_is_denied(kubectl: Kubectl, csr: str) -> None:
    kubectl("certificate", "deny", csr)
    assert row(kubectl, "get", "csr", csr)[-1] == "Denied"
    kubectl("delete", "csr", csr)


def test_events_of_both_groups(kubectl: Kubectl) -> None:
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "done"},
        "regarding": {"kind": "Pod", "namespace": kubectl.namespace, "name": "web"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "example.com/robot",
        "reportingInstance": "robot-1",
        "action": "Do",
        "reason": "Done",
        "type": "Normal",
        "note": "It is done",
    }
    apply(kubectl, event)
    columns = ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    for name in ("events", "events.v1.events.k8s.io"):
        assert head(kubectl, "get", name) == columns
        assert words(kubectl("get", name, "done", "--no-headers"))[:3] == ["Normal", "Done", "pod/web"]
    assert kubectl("get", "events.v1.events.k8s.io", "done", "-o", "jsonpath={.note}") == "It is done"
    selected = kubectl("get", "events", "--field-selector=involvedObject.name=web,reason=Done", "-o", "name")
    assert selected == "event/done\n"


def test_pod_security(kubectl: Kubectl) -> None:
    name = f"hard-{kubectl.namespace}"
    kubectl("create", "namespace", name)
    kubectl("create", "serviceaccount", "default", f"--namespace={name}")
    labels = [f"pod-security.kubernetes.io/{mode}" for mode in ("enforce=baseline", "warn=restricted")]
    kubectl("label", "namespace", name, *labels)
    created = kubectl.run("run", "web", "--image=x", f"--namespace={name}")
    assert created.returncode == 0
    assert 'Warning: would violate PodSecurity "restricted:latest": allowPrivilegeEscalation' in created.stderr
    refused = kubectl.fails(
        "run", "bad", "--image=x", f"--namespace={name}", "--overrides", '{"spec":{"hostPID":true}}'
    )
    assert 'violates PodSecurity "baseline:latest": host namespaces (hostPID=true)' in refused
    hit = kubectl.run(
        "label", "--dry-run=server", "--overwrite", "namespace", name, labels[0].replace("baseline", "restricted")
    )
    assert f'Warning: existing pods in namespace "{name}" violate the new PodSecurity' in hit.stderr
    wrong = kubectl.fails("label", "--overwrite", "namespace", name, labels[0].replace("baseline", "hard"))
    assert "must be one of privileged, baseline, restricted" in wrong


@verb("debug refused")
def test_ephemeral_containers_are_refused_in_words(kubectl: Kubectl, is_new: bool) -> None:
    if is_new:  # the older one has the command in its alpha
        kubectl("run", "plain", "--image=x")
        assert "ephemeral containers are disabled for this cluster" in kubectl.fails("debug", "plain", "--image=y")


def test_roles_are_made(kubectl: Kubectl) -> None:
    kubectl(
        "create", "role", "web-reader", "--verb=get,list", "--resource=pods,replicasets.apps", "--resource-name=web"
    )
    kubectl(
        "create",
        "rolebinding",
        "web-readers",
        "--role=web-reader",
        "--user=ana",
        f"--serviceaccount={kubectl.namespace}:x",
    )
    assert kubectl.json("get", "role", "web-reader")["rules"] == [
        {"verbs": ["get", "list"], "apiGroups": [group], "resources": [resource], "resourceNames": ["web"]}
        for group, resource in (("", "pods"), ("apps", "replicasets"))
    ]
    binding = kubectl.json("get", "rolebinding", "web-readers")
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "web-reader"}
    assert [(subject["kind"], subject["name"]) for subject in binding["subjects"]] == [
        ("User", "ana"),
        ("ServiceAccount", "x"),
    ]
