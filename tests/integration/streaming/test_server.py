"""The kubelet's server as its own clients meet it: certificates, mute connections, refusals and shutdown."""

from __future__ import annotations

import http.client
import json
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from integration.streaming.conftest import Api, Host, WaitUntil

from cluster.settings import State
from kubelet.server import server as server_module
from kubelet.server.server import KubeletServer, server_context

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def ask(state: State, kubelet: KubeletServer, api: Api) -> Callable[..., tuple[int, bytes]]:
    """A request with a client certificate of the cluster's, or with a bearer token and ``who=""``."""

    def ask(method: str, path: str, *, who: str = "apiserver-kubelet-client", **headers: str) -> tuple[int, bytes]:
        context = client_context(state, who)
        connection = http.client.HTTPSConnection(*kubelet.addresses[0], context=context, timeout=30)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    return ask


def client_context(state: State, who: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=state.pki / "ca.crt")
    if who:
        context.load_cert_chain(state.pki / f"{who}.crt", state.pki / f"{who}.key")
    return context


@pytest.fixture(scope="module")
def web(host: Host) -> Iterator[str]:
    host.start("served", ["sleep", "infinity"])
    host.set_waiting("unborn", "ContainerCreating")
    yield "served"


def test_health_pods_and_statistics(ask: Callable[..., tuple[int, bytes]], web: str) -> None:
    assert ask("GET", "/healthz") == (200, b"ok")
    code, text = ask("GET", "/pods")
    assert code == 200
    assert web in [pod["metadata"]["name"] for pod in json.loads(text)["items"]]
    code, text = ask("GET", "/stats/summary")
    found = next(pod for pod in json.loads(text)["pods"] if pod["podRef"]["name"] == web)
    assert found["memory"]["usageBytes"] > 0
    assert found["containers"][0]["name"] == "main"


def test_who_may_ask(ask: Callable[..., tuple[int, bytes]]) -> None:
    code, text = ask("GET", "/pods", who="proxy")
    refused = b"Forbidden (user=system:kube-proxy, verb=get, resource=nodes, subresource(s)=[%b])\n"
    assert (code, text) == (403, refused % b"proxy")
    assert ask("GET", "/stats/summary", who="proxy") == (403, refused % b"stats")
    assert ask("GET", "/pods", who="admin")[0] == 200
    assert ask("GET", "/pods", who="") == (401, b"Unauthorized\n")
    assert ask("GET", "/pods", who="", Authorization="Bearer nonsense") == (401, b"Unauthorized\n")
    assert ask("HEAD", "/metrics", who="") == (401, b""), "asked before it is said that there is no such method"
    assert ask("HEAD", "/metrics", who="proxy")[0] == 403
    assert ask("HEAD", "/metrics", who="admin") == (405, b"")


def test_a_service_account_with_the_right_may_ask(ask: Callable[..., tuple[int, bytes]], api: Api) -> None:
    account = "/api/v1/namespaces/default/serviceaccounts"
    api.request("POST", account, {"metadata": {"name": "scraper"}})
    token = json.loads(api.request("POST", f"{account}/scraper/token", {"spec": {}})[1])["status"]["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["nodes/stats"]}
    code, text = api.request("POST", f"{rbac}/clusterroles", {"metadata": {"name": "scraper"}, "rules": [rule]})
    assert code == 201, text
    ref = {"kind": "ClusterRole", "name": "scraper"}
    subjects = [{"kind": "ServiceAccount", "name": "scraper", "namespace": "default"}]
    binding = {"metadata": {"name": "scraper"}, "roleRef": ref, "subjects": subjects}
    code, text = api.request("POST", f"{rbac}/clusterrolebindings", binding)
    assert code == 201, text
    assert ask("GET", "/stats/summary", who="", **bearer)[0] == 200
    assert ask("GET", "/pods", who="", **bearer)[0] == 403


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/nothing", 404, b"404 page not found\n"),
        ("/containerLogs/default/nobody/main", 404, b'pod "nobody" does not exist\n'),
        ("/containerLogs/default/served/side", 404, b'container "side" not found in pod "served"\n'),
        (
            "/containerLogs/default/unborn/main",
            400,
            b'container "main" in pod "unborn" is waiting to start: ContainerCreating\n',
        ),
        ("/exec/default/nobody/main?command=ls&output=1", 404, b"pod does not exist\n"),
        ("/exec/default/served/side?command=ls&output=1", 500, b'container not found ("side")\n'),
        ("/exec/default/served/main?command=ls", 400, b"you must specify at least 1 of stdin, stdout, stderr\n"),
        (
            "/attach/default/served/side?output=1",
            500,
            b"container side not found in pod served_default\n",
        ),
        ("/attach/default/served/main", 400, b"you must specify at least 1 of stdin, stdout, stderr\n"),
        ("/portForward/default/nobody", 404, b"pod does not exist\n"),
    ],
)
def test_refusals(ask: Callable[..., tuple[int, bytes]], web: str, path: str, code: int, words: bytes) -> None:
    assert ask("GET", path) == (code, words)


def test_the_nodes_own_logs(ask: Callable[..., tuple[int, bytes]]) -> None:
    code, page = ask("GET", "/logs/")
    assert code == 200 and b'<a href="' in page
    assert ask("GET", "/logs/../../etc/passwd")[0] == 404
    assert ask("GET", "/logs/%2e%2e/%2e%2e/etc/passwd")[0] == 404


def test_other_methods_are_refused(ask: Callable[..., tuple[int, bytes]]) -> None:
    assert ask("DELETE", "/pods")[0] == 405


def test_an_exec_without_upgrade_is_refused(ask: Callable[..., tuple[int, bytes]], web: str) -> None:
    code, words = ask("POST", "/exec/default/served/main?command=ls&output=1")
    assert code == 400 and words.startswith(b"unable to upgrade")


def test_a_protocol_that_nobody_speaks_is_refused(ask: Callable[..., tuple[int, bytes]], web: str) -> None:
    path = "/exec/default/served/main?command=ls&output=1"
    spdy = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X_Stream_Protocol_Version": "v9.channel.k8s.io"}
    code, words = ask("POST", path, **spdy)
    assert code == 403
    assert words == (
        b"unable to upgrade: unable to negotiate protocol: client supports [v9.channel.k8s.io], "
        b"server accepts [v4.channel.k8s.io v3.channel.k8s.io v2.channel.k8s.io channel.k8s.io]\n"
    )


def test_requests_share_a_connection(state: State, kubelet: KubeletServer, web: str, api: Api) -> None:
    context = client_context(state, "admin")
    connection = http.client.HTTPSConnection(*kubelet.addresses[0], context=context, timeout=30)
    for path in ("/healthz", "/containerLogs/default/served/main", "/nothing", "/healthz"):
        connection.request("GET", path)
        sock = connection.sock
        answer = connection.getresponse()
        answer.read()
        assert connection.sock is sock
    assert answer.status == 200
    connection.close()


def test_mute_and_garbled_connections_disturb_nobody(
    ask: Callable[..., tuple[int, bytes]], kubelet: KubeletServer
) -> None:
    mute = [socket.create_connection(kubelet.addresses[0]) for _ in range(20)]
    garbled = socket.create_connection(kubelet.addresses[0])
    garbled.sendall(b"GET / HTTP/1.1\r\n\r\n")
    started = time.monotonic()
    assert ask("GET", "/healthz") == (200, b"ok")
    assert time.monotonic() - started < 5
    for sock in [*mute, garbled]:
        sock.close()


def test_of_too_many_connections_the_longest_silent_goes(
    state: State,
    kubelet: KubeletServer,
    ask: Callable[..., tuple[int, bytes]],
    web: str,
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert ask("GET", "/healthz") == (200, b"ok")
    monkeypatch.setattr(server_module, "_MAX_CONNECTIONS", len(kubelet._connections) + 10)
    follower = http.client.HTTPSConnection(*kubelet.addresses[0], context=client_context(state, "admin"), timeout=30)
    follower.request("GET", "/containerLogs/default/served/main?follow=true")
    assert follower.getresponse().status == 200
    mute = [socket.create_connection(kubelet.addresses[0], timeout=30) for _ in range(30)]
    started = time.monotonic()
    assert ask("GET", "/healthz") == (200, b"ok")
    assert time.monotonic() - started < 5
    assert mute[0].recv(1) == b"", "the longest silent was closed, not the newest"
    poll = select.poll()
    poll.register(follower.sock, select.POLLRDHUP)
    assert not poll.poll(0), "nor who is being served"
    follower.close()
    for sock in mute:
        sock.close()


def test_stop_is_prompt_with_mute_idle_and_streaming_clients(
    state: State, host: Host, kubelet: KubeletServer, api: Api
) -> None:
    context = server_context(state.pki / "kubelet.crt", state.pki / "kubelet.key", state.pki / "ca.crt")
    before = set(threading.enumerate())
    server = KubeletServer(kubelet.api, context, [("127.0.0.1", 0)])
    server.start()
    host.start("quiet", ["sleep", "infinity"])
    mute = socket.create_connection(server.addresses[0])
    clients = []
    for path in ("/healthz", "/containerLogs/default/quiet/main?follow=true"):
        clients.append(http.client.HTTPSConnection(*server.addresses[0], context=client_context(state, "admin")))
        clients[-1].request("GET", path)
        answer = clients[-1].getresponse()
        assert answer.status == 200
        if path == "/healthz":
            answer.read()
    started = time.monotonic()
    server.stop()
    assert time.monotonic() - started < 1
    assert {thread for thread in set(threading.enumerate()) - before if "kubelet" in thread.name} == set()
    mute.close()
    for client in clients:
        client.close()


def test_a_follower_that_leaves_ends_its_thread(
    state: State, kubelet: KubeletServer, web: str, wait_until: WaitUntil, api: Api
) -> None:
    context = client_context(state, "admin")
    client = http.client.HTTPSConnection(*kubelet.addresses[0], context=context, timeout=30)
    client.request("GET", "/containerLogs/default/served/main?follow=true")
    sock = client.sock
    client.getresponse()
    with_it = len(kubelet._connections)
    sock.shutdown(socket.SHUT_RDWR)
    wait_until(lambda: len(kubelet._connections) == with_it - 1)
    client.close()
