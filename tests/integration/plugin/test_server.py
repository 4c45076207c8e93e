"""``KubeServer``: a real server behind an object, its stores, its restarts, its controllers and its ends."""

from __future__ import annotations

import base64
import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from mini_minishift.rest import ApiError, RestClient
from mini_minishift.testing import KubeServer, ServerError

Start = Callable[..., KubeServer]


@pytest.fixture(scope="module")
def server() -> Iterator[KubeServer]:
    with KubeServer() as started:
        yield started


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers of the test's own."""
    started: list[KubeServer] = []

    def start(**options: Any) -> KubeServer:
        started.append(KubeServer(**options))
        return started[-1].start()

    yield start
    for each in started:
        each.close()


def create(server: KubeServer, namespace: str, name: str, **metadata: Any) -> dict[str, Any]:
    body = {"metadata": {"name": name, **metadata}}
    return server.request("POST", f"/api/v1/namespaces/{namespace}/configmaps", body)


def test_a_namespace_has_what_the_controllers_give_it(server: KubeServer) -> None:
    name = server.create_namespace("mine-")
    assert name.startswith("mine-")
    accounts = server.request("GET", f"/api/v1/namespaces/{name}/serviceaccounts")["items"]
    maps = server.request("GET", f"/api/v1/namespaces/{name}/configmaps")["items"]
    assert [each["metadata"]["name"] for each in accounts + maps] == ["default", "kube-root-ca.crt"]
    assert maps[0]["data"]["ca.crt"] == server.certificate_authority.read_text()


def test_what_belongs_to_a_deleted_object_is_deleted(server: KubeServer) -> None:
    namespace = server.create_namespace()
    owner = create(server, namespace, "owner")["metadata"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["uid"]}
    create(server, namespace, "child", ownerReferences=[reference])
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    server.request("DELETE", f"{path}/owner")
    server.wait(f"{path}/child", lambda child: child is None)


def test_a_deleted_namespace_goes_with_its_objects(server: KubeServer) -> None:
    namespace = server.create_namespace()
    create(server, namespace, "inside")
    server.delete_namespace(namespace)
    server.wait(f"/api/v1/namespaces/{namespace}", lambda found: found is None)
    with pytest.raises(ApiError) as caught:
        server.request("GET", f"/api/v1/namespaces/{namespace}/configmaps/inside")
    assert caught.value.reason == "NotFound"


def test_an_approved_certificate_request_is_signed(server: KubeServer) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jane")])
    asked = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    spec = {
        "signerName": "kubernetes.io/kube-apiserver-client",
        "request": base64.b64encode(asked.public_bytes(Encoding.PEM)).decode(),
        "usages": ["client auth"],
    }
    made = server.request("POST", requests, {"metadata": {"name": "jane"}, "spec": spec})
    made["status"] = {"conditions": [{"type": "Approved", "status": "True", "reason": "Test", "message": "a test"}]}
    server.request("PUT", f"{requests}/jane/approval", made)
    signed = server.wait(f"{requests}/jane", lambda found: found and "certificate" in found["status"])
    assert signed
    certificate = x509.load_pem_x509_certificate(base64.b64decode(signed["status"]["certificate"]))
    authority = x509.load_pem_x509_certificate(server.certificate_authority.read_bytes())
    certificate.verify_directly_issued_by(authority)
    assert certificate.subject == subject


def test_a_service_account_may_what_its_roles_say(server: KubeServer) -> None:
    namespace = server.create_namespace()
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    config = yaml.safe_load(server.service_account_kubeconfig(namespace).read_text())
    account = RestClient(server.url, server.certificate_authority, config["users"][0]["user"]["token"])
    with pytest.raises(ApiError, match=f'system:serviceaccount:{namespace}:default" cannot list resource "configmaps"'):
        account.request("GET", maps)
    roles = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
    server.request("POST", f"{roles}/roles", {"metadata": {"name": "reader"}, "rules": rules})
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    binding = {"metadata": {"name": "reader"}, "subjects": [subject], "roleRef": role}
    server.request("POST", f"{roles}/rolebindings", binding)
    assert [each["metadata"]["name"] for each in account.request("GET", maps)["items"]] == ["kube-root-ca.crt"]
    with pytest.raises(ApiError, match="cannot create"):
        account.request("POST", maps, {"metadata": {"name": "a"}})
    account.close()


def test_waiting_ends_with_what_is_wanted_or_tells_what_there_was(server: KubeServer) -> None:
    namespace = server.create_namespace()
    path = f"/api/v1/namespaces/{namespace}/configmaps/later"
    thread = threading.Timer(0.1, create, (server, namespace, "later"))
    thread.start()
    found = server.wait(path)
    assert found and found["metadata"]["name"] == "later"
    thread.join()
    with pytest.raises(
        TimeoutError, match=r'configmaps/later was not as wanted within 0.1 s; it is {"kind": "ConfigMap"'
    ):
        server.wait(path, lambda found: found is None, seconds=0.1)


def test_a_refusal_is_raised_with_its_status(server: KubeServer) -> None:
    with pytest.raises(ApiError, match='namespaces "none" not found') as caught:
        server.request("GET", "/api/v1/namespaces/none")
    assert (caught.value.code, caught.value.reason) == (404, "NotFound")


def definition(plural: str = "things", **names: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.tests.example"},
        "spec": {
            "group": "tests.example",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": plural.title(), **names},
            "versions": [version],
        },
    }


def test_manifests_are_applied_again_and_again(server: KubeServer, tmp_path: Path) -> None:
    namespace = server.create_namespace()
    thing = {"apiVersion": "tests.example/v1", "kind": "Things", "metadata": {"name": "a", "namespace": namespace}}
    file = tmp_path / "manifests.yaml"
    file.write_text(yaml.safe_dump_all([definition(), {**thing, "spec": {"size": 1}}, None]))
    conditions = server.apply(file)[0]["status"]["conditions"]
    assert {"Established"} <= {each["type"] for each in conditions if each["status"] == "True"}
    again = {"apiVersion": "v1", "kind": "List", "items": [{**thing, "spec": {"size": 2}}]}
    assert server.apply(again)[0]["metadata"]["generation"] == 2
    found = server.wait(f"/apis/tests.example/v1/namespaces/{namespace}/things/a")
    assert found and found["spec"] == {"size": 2}


def test_manifests_that_cannot_be_applied(server: KubeServer, tmp_path: Path) -> None:
    with pytest.raises(ApiError, match="the server has no kind Thing in v1"):
        server.apply({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "a"}})
    server.apply(definition("firsts"))
    with pytest.raises(
        ApiError, match=r"the names of seconds.tests.example are not accepted: .*firsts.* is already in use"
    ):
        server.apply(definition("seconds", singular="firsts"))
    file = tmp_path / "values.yaml"
    file.write_text("replicas: 1\n")
    with pytest.raises(ValueError, match=r"values.yaml holds something without apiVersion, kind or metadata"):
        server.apply(file)


def test_the_log_begins_where_one_asks(server: KubeServer) -> None:
    assert "serving on https://127.0.0.1" in server.log_tail(0)
    assert server.log_tail(1).count("\n") == 0
    assert server.log_tail(begin=server.log_size()) == ""


@pytest.mark.parametrize("store", ["memory", pytest.param("etcd", marks=pytest.mark.etcd)])
def test_a_restart_keeps_objects_and_clients_access(start: Start, store: str) -> None:
    server = start(store=store, controllers="none")
    before = server.url, server.token, server.kubeconfig.read_text()
    made = create(server, "default", "kept")
    server.restart()
    assert (server.url, server.token, server.kubeconfig.read_text()) == before
    assert server.request("GET", "/api/v1/namespaces/default/configmaps/kept") == made
    server.restart(keep_data=False)
    with pytest.raises(ApiError, match="not found"):
        server.request("GET", "/api/v1/namespaces/default/configmaps/kept")


def test_a_watch_goes_on_after_a_restart_where_history_allows(start: Start) -> None:
    server = start(controllers="none")
    create(server, "default", "before")
    version = server.request("GET", "/api/v1/namespaces/default/configmaps")["metadata"]["resourceVersion"]
    server.restart()
    create(server, "default", "after")
    watch = "/api/v1/namespaces/default/configmaps?watch=true&resourceVersion="
    assert next(server.watch(watch + version))["object"]["metadata"]["name"] == "after"
    with pytest.raises(ApiError, match="too old resource version") as caught:
        next(server.watch(watch + "2"))
    assert caught.value.code == 410


@pytest.mark.etcd
def test_etcd_keeps_what_a_killed_server_had_acknowledged(start: Start) -> None:
    server = start(store="etcd", controllers="none")
    made = create(server, "default", "kept")
    server.kill()
    assert not server.running
    server.start()
    assert server.request("GET", "/api/v1/namespaces/default/configmaps/kept") == made


def test_memory_forgets_with_a_kill(start: Start) -> None:
    server = start(controllers="none")
    create(server, "default", "lost")
    server.kill()
    server.start()
    with pytest.raises(ApiError, match="not found"):
        server.request("GET", "/api/v1/namespaces/default/configmaps/lost")


def test_no_controllers_and_some(start: Start) -> None:
    server = start(controllers="none")
    namespace = server.create_namespace()
    assert server.request("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts")["items"] == []
    pod = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
    assert "volumes" not in server.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod)["spec"]
    with pytest.raises(ServerError, match=r"no controller is called oracle; there are .*garbage-collector"):
        start(controllers="*,oracle")


def test_a_program_that_is_not_there_is_named(start: Start) -> None:
    with pytest.raises(ServerError, match=r"no program ./nowhere/etcd. here\. Install etcd"):
        start(store="etcd", etcd="/nowhere/etcd")


@pytest.mark.etcd
def test_the_end_of_the_log_of_an_etcd_that_fails_is_shown(start: Start, tmp_path: Path) -> None:
    data = tmp_path / "etcd" / "data"
    data.mkdir(parents=True)
    (data / "member").write_text("a file where etcd wants a folder")
    with pytest.raises(ServerError, match=r"(?s)etcd ended; the end of .*member"):
        start(folder=tmp_path, store="etcd")


def test_damaged_data_are_told(start: Start, tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text("not what a server wrote")
    with pytest.raises(ServerError, match=r"store.json does not hold a store's content: .*\. Remove it to begin anew"):
        start(folder=tmp_path)


def test_a_taken_port_is_told(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ServerError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            start(port=port)


def test_an_unknown_store_is_refused() -> None:
    with pytest.raises(ValueError, match="store must be one of memory, etcd, not 'redis'"):
        KubeServer(store="redis")


def test_nothing_is_left_in_the_end() -> None:
    with KubeServer(controllers="none") as server:
        pid, folder = server.pid, server.folder
        assert folder.exists()
    assert not folder.exists()
    assert not Path(f"/proc/{pid}").exists()
    assert not server.running
    with pytest.raises(ServerError, match="does not run"):
        server.request("GET", "/api")


def test_it_outlives_the_thread_that_started_it(start: Start) -> None:
    started: list[KubeServer] = []
    thread = threading.Thread(target=lambda: started.append(start(controllers="none")))
    thread.start()
    thread.join()
    assert started[0].request("GET", "/api")["versions"] == ["v1"]


@pytest.mark.parametrize("forked", [False, True])
def test_it_ends_with_a_program_that_is_killed(forked: bool) -> None:
    """Also when a fork of that program, which lives on, holds all its files open."""
    program = """
        import os, signal, sys, time
        from mini_minishift.testing import KubeServer
        server = KubeServer(controllers="none").start()
        child = os.fork() if sys.argv[1:] else 0
        if child or not sys.argv[1:]:
            print(server.pid, child, server.folder, flush=True)
        signal.pause()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *(["fork"] if forked else [])],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    server, child, folder = process.stdout.readline().split()
    ends = os.pidfd_open(int(server))
    try:
        process.kill()
        process.wait()
        assert select.select([ends], [], [], 5)[0]
        assert not Path(folder).exists()
    finally:
        os.close(ends)
        process.stdout.close()
        if forked:
            os.kill(int(child), signal.SIGKILL)
