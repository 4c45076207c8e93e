"""Who may do what on a whole cluster: a developer in her own project; components with no right too many or too few."""

from __future__ import annotations

import re
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from e2e.harness import Cluster, Kubectl, eventually

CONTEXT = "mini-minishift-developer"
BUSYBOX = "mini-minishift/busybox:1"
# What the API server says to who lacks a right; a namespace that is going refuses for another reason.
LACKS_A_RIGHT = re.compile(r"cannot \w+ (resource|path) .*")


class Developer:
    """kubectl in the developer's context."""

    def __init__(self, kubectl: Kubectl, project: str) -> None:
        self.project = project
        self._kubectl = kubectl._replace(namespace=project)

    def __call__(self, *words: str, stdin: str = "") -> str:
        return self._kubectl(f"--context={CONTEXT}", *words, stdin=stdin)

    def refusal(self, *words: str) -> str:
        return self._kubectl.fails(f"--context={CONTEXT}", *words)


@pytest.fixture
def developer(cluster: Cluster, kubectl_binary: Path) -> Iterator[Developer]:
    """With a project of her own, by each generation of kubectl."""
    made = Developer(Kubectl(kubectl_binary, cluster.kubeconfig), f"project-{secrets.token_hex(4)}")
    made("create", "namespace", made.project)
    yield made
    made("delete", "namespace", made.project)


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "worker"},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {
                "name": "c",
                "image": BUSYBOX,
                "command": ["sh", "-c", "cat /config/greeting; echo; sleep 3600"],
                "envFrom": [{"secretRef": {"name": "key"}}],
                "volumeMounts": [{"name": "config", "mountPath": "/config"}],
            }
        ],
        "volumes": [{"name": "config", "configMap": {"name": "words"}}],
    },
}


def test_a_developer_works_in_her_own_project(developer: Developer) -> None:
    developer("create", "configmap", "words", "--from-literal=greeting=hello")
    developer("create", "secret", "generic", "key", "--from-literal=KEY=s3cret")
    developer("create", "-f", "-", stdin=yaml.safe_dump(POD))
    developer("wait", "--for=condition=Ready", "pod/worker", "--timeout=60s")
    assert developer("logs", "worker") == "hello\n"
    assert developer("exec", "worker", "--", "sh", "-c", "echo $KEY") == "s3cret\n"
    developer("patch", "configmap", "words", "-p", '{"data":{"greeting":"bye"}}')
    # The kubelet is told of it, although it may see this one only.
    eventually(lambda: developer("exec", "worker", "--", "cat", "/config/greeting") == "bye")
    developer("create", "rolebinding", "friends", "--clusterrole=view", "--user=ann")
    developer("delete", "pod", "worker")


def test_a_developer_has_no_rights_in_the_cluster(developer: Developer) -> None:
    assert developer("get", "namespaces", "--output=name") == f"namespace/{developer.project}\n"
    for words in (
        ("get", "nodes"),
        ("get", "pods", "--all-namespaces"),
        ("get", "secrets", "--namespace=kube-system"),
        ("get", "clusterroles"),
        ("delete", "namespace", "default"),
        ("create", "clusterrolebinding", "root", "--clusterrole=cluster-admin", "--user=developer"),
        ("create", "rolebinding", "root", "--clusterrole=cluster-admin", "--user=developer"),
        ("label", "namespace", developer.project, "pod-security.kubernetes.io/enforce=privileged"),
        ("create", "namespace", "kube-mine"),
        ("get", "nodes", "--as=admin"),
    ):
        assert "orbidden" in developer.refusal(*words), words
    assert developer("auth", "can-i", "create", "pods") == "yes\n"
    assert developer("auth", "can-i", "create", "namespaces").endswith("yes\n")


def test_no_component_lacks_a_right(cluster: Cluster, sise: Kubectl) -> None:
    """After all that these tests have done with the cluster so far."""
    sise("scale", "--replicas=2", "rc/sise")
    sise("wait", "--for=condition=Ready", "pods", "--all", "--timeout=60s")
    for log in cluster.state.logs.glob("*.log"):
        lines = [line for line in log.read_text().splitlines() if "developer" not in line]
        assert not [line for line in lines if LACKS_A_RIGHT.search(line)], log.name


def test_nobody_but_the_administrator_may_do_everything(cluster: Cluster, newest: Kubectl) -> None:
    for certificate in cluster.state.pki.glob("*.crt"):
        subject = subprocess.run(
            ["openssl", "x509", "-noout", "-subject", "-in", certificate], capture_output=True, text=True, check=True
        ).stdout
        assert ("system:masters" in subject) == (certificate.stem == "admin"), certificate.name
    node = newest("get", "nodes", "--output=name").strip().removeprefix("node/")
    may = {
        "system:kube-scheduler": ("create", "pods/binding", ("get", "secrets")),
        "system:kube-proxy": ("watch", "services", ("get", "pods")),
        "system:kube-controller-manager": ("list", "pods", ("delete", "pods")),
        "kube-apiserver-kubelet-client": ("create", "nodes/proxy", ("get", "pods")),
        "system:serviceaccount:kube-system:replication-controller": ("create", "pods", ("get", "secrets")),
        f"system:node:{node}": ("", "", ("list", "secrets")),
    }
    for user, (verb, resource, (not_verb, not_resource)) in may.items():
        if verb:
            resource, _, subresource = resource.partition("/")
            words = ["auth", "can-i", verb, resource, f"--as={user}", "--all-namespaces"]
            assert newest(*words, *([f"--subresource={subresource}"] if subresource else [])).endswith("yes\n"), user
        refused = newest.run("auth", "can-i", not_verb, not_resource, f"--as={user}", "--all-namespaces")
        assert refused.stdout.startswith("no"), user
