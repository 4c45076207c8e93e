"""The API server's connections beyond what kubectl uses: WebSocket protocols, proxies, upstream's refusals."""

from __future__ import annotations

import base64
import json
import os
import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from integration.streaming.conftest import Api, Host, WaitUntil
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

pytestmark = pytest.mark.docker
POD = "/api/v1/namespaces/default/pods"
Pod = Callable[..., str]


class WebSocket:
    """A small client: handshake by hand, framing by wsproto."""

    def __init__(self, api: Api, path: str, protocol: str = "") -> None:
        raw = socket.create_connection(("127.0.0.1", api.port), timeout=30)
        self.sock = api.context.wrap_socket(raw, server_hostname="127.0.0.1")
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{api.port}", "Connection: Upgrade", "Upgrade: websocket",
            f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13",
        ]  # fmt: skip
        lines += [f"Sec-WebSocket-Protocol: {protocol}"] if protocol else []
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.sock.recv(4096)
        head, _, rest = data.partition(b"\r\n\r\n")
        self.status = int(head.split()[1])
        self.head, self.text = head.decode(), ""
        if self.status == 101:
            self.framing = Connection(ConnectionType.CLIENT, trailing_data=rest)
            return
        length = int(self.head.lower().partition("content-length: ")[2].split()[0])
        while len(rest) < length:
            rest += self.sock.recv(4096)
        self.text = rest.decode()
        self.sock.close()

    def send(self, data: bytes | str) -> None:
        event = TextMessage(data) if isinstance(data, str) else BytesMessage(data)
        self.sock.sendall(self.framing.send(event))

    def messages(self) -> list[bytes | str]:
        """Everything until the server closes, which it must do with 1000."""
        found: list[bytes | str] = []
        while True:
            for event in self.framing.events():
                if isinstance(event, CloseConnection):
                    assert event.code == 1000
                    self.sock.sendall(self.framing.send(event.response()))
                    self.sock.close()
                    return found
                assert isinstance(event, BytesMessage | TextMessage) and event.message_finished
                found.append(event.data if isinstance(event.data, str) else bytes(event.data))
            data = self.sock.recv(65536)
            assert data, "the server left without closing the WebSocket"
            self.framing.receive_data(data)

    def until(self, size: int) -> list[bytes]:
        """Messages until there are so many."""
        found: list[bytes] = []
        while len(found) < size:
            found += [bytes(event.data) for event in self.framing.events() if isinstance(event, BytesMessage)]
            if len(found) < size:
                data = self.sock.recv(65536)
                assert data, found
                self.framing.receive_data(data)
        return found


def exec_path(name: str, *command: str, **options: str) -> str:
    parameters = [("command", word) for word in command] + list({"stdout": "true", "stderr": "true", **options}.items())
    return f"{POD}/{name}/exec?" + "&".join(f"{key}={quote(value)}" for key, value in parameters)


@pytest.fixture(scope="module")
def sleeper(host: Host, api: Api) -> str:
    api.add_pod(host.start("dormouse", ["sleep", "infinity"]))
    return "dormouse"


@pytest.mark.parametrize("protocol", ["", "channel.k8s.io", "v4.channel.k8s.io", "v5.channel.k8s.io"])
def test_exec_over_websocket(api: Api, sleeper: str, protocol: str) -> None:
    client = WebSocket(api, exec_path(sleeper, "sh", "-c", "echo out; exit 3"), protocol)
    assert client.status == 101
    first, *rest, last = client.messages()
    assert first == b"\x01"
    assert b"".join(message[1:] for message in rest if isinstance(message, bytes)) == b"out\n"
    assert isinstance(last, bytes) and last[0] == 3
    if protocol.startswith("v"):
        assert json.loads(last[1:])["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    else:
        assert last[1:] == b"command terminated with non-zero exit code: exit status 3"


def test_exec_over_websocket_in_base64(api: Api, sleeper: str) -> None:
    client = WebSocket(api, exec_path(sleeper, "head", "-n1", stdin="true"), "base64.channel.k8s.io")
    client.send("0" + base64.b64encode(b"hello\n").decode())
    assert [message for message in client.messages() if len(message) > 1] == [
        "1" + base64.b64encode(b"hello\n").decode()
    ]


def test_the_first_protocol_that_the_server_knows_is_taken(api: Api, sleeper: str) -> None:
    client = WebSocket(api, exec_path(sleeper, "true"), "v9.channel.k8s.io, v4.channel.k8s.io")
    assert "Sec-WebSocket-Protocol: v4.channel.k8s.io" in client.head
    client.messages()
    assert WebSocket(api, exec_path(sleeper, "true"), "v9.channel.k8s.io").status == 400


@pytest.mark.parametrize("protocol", ["", "binary.k8s.io", "base64.binary.k8s.io"])
def test_logs_over_websocket(api: Api, pod: Pod, host: Host, protocol: str) -> None:
    name = pod("sh", "-c", "echo one; usleep 10000; echo two")
    host.wait(name)
    messages = WebSocket(api, f"{POD}/{name}/log?follow=true", protocol).messages()
    texts = [base64.b64decode(message) if isinstance(message, str) else message for message in messages]
    assert b"".join(texts) == b"one\ntwo\n"


def test_port_forward_over_websocket_channels(api: Api, pod: Pod) -> None:
    name = pod("sh", "-c", "while true; do nc -l -p 7000 -e cat; done")
    client = WebSocket(api, f"{POD}/{name}/portforward?ports=7000", "v4.channel.k8s.io")
    assert client.until(2) == [b"\x00\x58\x1b", b"\x01\x58\x1b"]
    client.send(b"\x00hello")
    assert client.until(1) == [b"\x00hello"]
    client.sock.close()


CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.mark.parametrize("protocol", ["", "anything"])
def test_a_watch_over_websocket(api: Api, protocol: str) -> None:
    """Each event is a text message; a single protocol is granted, whatever it is, as Go's library does."""
    api.request("POST", CONFIG_MAPS, {"metadata": {"name": "watched"}})
    client = WebSocket(api, f"{CONFIG_MAPS}?watch=1&fieldSelector=metadata.name%3Dwatched&timeoutSeconds=1", protocol)
    assert (client.status, "Sec-WebSocket-Protocol" in client.head) == (101, bool(protocol))
    api.request("DELETE", f"{CONFIG_MAPS}/watched")
    messages = client.messages()
    assert all(isinstance(message, str) and message.endswith("}\n") for message in messages)
    assert [json.loads(message)["type"] for message in messages] == ["ADDED", "DELETED"]


def test_a_watch_over_websocket_answers_pings_and_ends_with_its_client(api: Api) -> None:
    client = WebSocket(api, f"{CONFIG_MAPS}?watch=1&resourceVersion=0&labelSelector=none")
    for number in range(3):
        client.sock.sendall(client.framing.send(Ping(b"%d" % number)))
        while not (events := list(client.framing.events())):
            client.framing.receive_data(client.sock.recv(4096))
        [pong] = events
        assert isinstance(pong, Pong) and pong.payload == b"%d" % number
    client.sock.sendall(client.framing.send(CloseConnection(code=1000)))
    client.framing.receive_data(client.sock.recv(4096))
    [closing] = client.framing.events()
    assert isinstance(closing, CloseConnection)
    assert client.sock.recv(4096) == b""
    client.sock.close()


@pytest.mark.parametrize(
    ("query", "code"), [("watch=1&resourceVersion=x", 400), ("watch=1&sendInitialEvents=true", 422)]
)
def test_a_watch_that_is_refused_is_no_websocket(api: Api, query: str, code: int) -> None:
    client = WebSocket(api, f"{CONFIG_MAPS}?{query}")
    assert (client.status, json.loads(client.text)["code"]) == (code, code)


@pytest.mark.parametrize(
    ("method", "path", "code", "message"),
    [
        ("GET", f"{POD}/nobody/log", 404, 'pods "nobody" not found'),
        ("GET", f"{POD}/nobody/exec?command=ls", 404, 'pods "nobody" not found'),
        ("POST", f"{POD}/dormouse/exec?command=ls&stdout=true", 400, "Upgrade request required"),
        ("GET", f"{POD}/dormouse/log?container=other", 400, "container other is not valid for pod dormouse"),
        (
            "GET",
            f"{POD}/dormouse/log?tailLines=-1",
            422,
            'PodLogOptions "dormouse" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0',
        ),
        (
            "GET",
            f"{POD}/dormouse/log?previous=true",
            400,
            'previous terminated container "main" in pod "dormouse" not found',
        ),
    ],
)
def test_refusals(api: Api, sleeper: str, method: str, path: str, code: int, message: str) -> None:
    status, text = api.request(method, path)
    assert (status, json.loads(text)["message"]) == (code, message)


def test_a_pod_with_several_containers_asks_which(api: Api, pod: Pod, host: Host) -> None:
    name = pod("echo", "from main")
    host.wait(name)
    other = json.loads(json.dumps(host.pod("default", name)))
    other["metadata"] = {"name": f"{name}-two", "namespace": "default"}
    other["spec"]["containers"].append({"name": "side", "image": "x"})
    api.add_pod(other)
    status, text = api.request("GET", f"{POD}/{name}-two/log")
    assert status == 400
    assert json.loads(text)["message"] == (
        f"a container name must be specified for pod {name}-two, choose one of: [main side]"
    )


def test_a_pod_without_a_node_has_an_empty_log_and_no_exec(api: Api) -> None:
    spec = {"containers": [{"name": "main", "image": "x"}]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "unbound"}, "spec": spec}
    assert api.request("POST", POD, body)[0] in (201, 409)
    assert api.request("GET", f"{POD}/unbound/log") == (200, b"")
    client = WebSocket(api, exec_path("unbound", "ls"), "v4.channel.k8s.io")
    assert client.status == 400
    assert "pod unbound does not have a host assigned" in client.text


@pytest.fixture
def gateway(engine: Any) -> str:
    """An address of this machine that is not loopback."""
    return str(engine.inspect_network("bridge")["IPAM"]["Config"][0].get("Gateway", "172.17.0.1"))


def test_a_kubelet_that_does_not_answer(api: Api, gateway: str) -> None:
    with socket.socket() as unused:
        unused.bind((gateway, 0))
        port = unused.getsockname()[1]
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gone"}}
    code, text = api.request("POST", "/api/v1/nodes", node)
    status = {
        "addresses": [{"type": "InternalIP", "address": gateway}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    assert api.request("PUT", "/api/v1/nodes/gone/status", json.loads(text) | {"status": status})[0] == 200
    spec = {"nodeName": "gone", "containers": [{"name": "main", "image": "x"}]}
    api.add_pod({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "lost"}, "spec": spec, "status": {}})
    code, text = api.request("GET", f"{POD}/lost/log")
    assert code == 500
    words = f"dial tcp {gateway}:{port}: connect: connection refused"
    assert json.loads(text)["message"] == f'Get "https://{gateway}:{port}/containerLogs/default/lost/main": {words}'
    client = WebSocket(api, exec_path("lost", "ls"), "v4.channel.k8s.io")
    assert client.status == 500
    assert f"error dialing backend: {words}" in client.text


def test_a_node_cannot_aim_the_api_server_at_loopback(api: Api) -> None:
    """It writes an address of loopback, and the port of another server there: the API server's own."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "aiming"}}
    created = json.loads(api.request("POST", "/api/v1/nodes", node)[1])
    for address in ("127.0.0.1", "::ffff:127.0.0.1", "localhost"):
        status = {
            "addresses": [{"type": "InternalIP", "address": address}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": api.port}},
        }
        created["metadata"].pop("resourceVersion", None)
        assert api.request("PUT", "/api/v1/nodes/aiming/status", created | {"status": status})[0] == 200
        for name in ("aiming", "aiming:80", f"aiming:{api.port}", f"https:aiming:{api.port}"):
            code, text = api.request("GET", f"/api/v1/nodes/{name}/proxy/healthz")
            assert (code, json.loads(text)["message"]) == (400, "address not allowed"), (address, name)
    assert api.request("DELETE", "/api/v1/nodes/aiming")[0] == 200


# --- proxies ---------------------------------------------------------------------------------------------------------

CGI = r"""#!/bin/sh
echo "Content-Type: text/plain"
echo
echo "method=$REQUEST_METHOD query=$QUERY_STRING uri=$HTTP_X_FORWARDED_URI length=$CONTENT_LENGTH"
[ -n "$CONTENT_LENGTH" ] && head -c "$CONTENT_LENGTH"
exit 0
"""


@pytest.fixture(scope="module")
def web(host: Host, api: Api) -> str:
    script = (
        "mkdir -p /tmp/www/cgi-bin; cd /tmp/www; printf '%s' \"$0\" > cgi-bin/echo; chmod +x cgi-bin/echo; "
        "echo '<a href=\"/rewriteme\">test</a>' > index.html; head -c 5000000 /dev/zero > big; "
        "exec httpd -f -p 8080 -h /tmp/www"
    )
    pod = host.start("web", ["sh", "-c", script, CGI])
    pod["spec"]["containers"][0]["ports"] = [{"containerPort": 8080}]
    api.add_pod(pod)
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    }  # fmt: skip
    endpoints = {
        "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "web"},
        "subsets": [{
            "addresses": [{"ip": pod["status"]["podIP"], "targetRef": {"kind": "Pod", "name": "web"}}],
            "ports": [{"name": "http", "port": 8080}],
        }],
    }  # fmt: skip
    for kind, body in (("services", service), ("endpoints", endpoints)):
        code, text = api.request("POST", f"/api/v1/namespaces/default/{kind}", body)
        assert code in (201, 409), text
    return "web"


@pytest.mark.parametrize(
    "base", [f"{POD}/web", f"{POD}/http:web:8080", *(f"{POD[:-4]}services/{name}" for name in ("web:http", "web:80"))]
)
def test_get_through_a_proxy(api: Api, web: str, wait_until: WaitUntil, base: str) -> None:
    wait_until(lambda: api.request("GET", f"{base}/proxy/")[0] == 200)
    code, text = api.request("GET", f"{base}/proxy/")
    assert (code, text) == (200, f'<a href="{base}/proxy/rewriteme">test</a>\n'.encode())
    assert api.request("GET", f"{base}/proxy") == (code, text)  # by way of a redirect
    code, text = api.request("GET", f"{base}/proxy/cgi-bin/echo?a=b%20c&d")
    assert text == f"method=GET query=a=b%20c&d uri={base}/proxy/cgi-bin/echo length=\n".encode()
    assert len(api.request("GET", f"{base}/proxy/big")[1]) == 5_000_000
    assert api.request("GET", f"{base}/proxy/none")[0] == 404


def test_a_body_through_a_proxy(api: Api, web: str) -> None:
    code, text = api.request("POST", f"{POD}/web/proxy/cgi-bin/echo", {"some": "body"})
    assert (code, text.split(b"\n")[1]) == (200, b'{"some": "body"}')


def test_methods_reach_the_pod(api: Api, web: str) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        code, text = api.request(method, f"{POD}/web/proxy/cgi-bin/echo")
        assert (code, text.split()[0]) == (200, f"method={method}".encode())


def test_a_port_where_nobody_listens(api: Api, web: str) -> None:
    code, text = api.request("GET", f"{POD}/web:9/proxy/")
    status = json.loads(text)
    assert (code, status["reason"]) == (503, "ServiceUnavailable")
    assert status["message"].startswith("error trying to reach service: dial tcp ")
    assert status["message"].endswith(":9: connect: connection refused")


def test_the_kubelet_through_the_nodes_proxy(api: Api) -> None:
    assert api.request("GET", "/api/v1/nodes/streaming-node/proxy/healthz") == (200, b"ok")
    code, text = api.request("GET", "/api/v1/nodes/streaming-node/proxy/pods")
    assert (code, json.loads(text)["kind"]) == (200, "PodList")


def test_an_upgrade_through_a_proxy_is_a_tunnel(api: Api, pod: Pod, wait_until: WaitUntil) -> None:
    answer = r"HTTP/1.1 101 Switching\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nfirst;"
    script = f"while read -r line && [ ${{#line}} -gt 1 ]; do :; done; printf '{answer}'; exec cat"
    name = pod("sh", "-c", 'while true; do nc -l -p 9000 -e sh -c "$0"; done', script)
    received = b""

    def talk() -> bool:
        """One conversation; refused while the pod does not listen yet."""
        nonlocal received
        received, raw = b"", socket.create_connection(("127.0.0.1", api.port), timeout=30)
        with api.context.wrap_socket(raw, server_hostname="127.0.0.1") as sock:
            head = f"GET {POD}/{name}:9000/proxy/x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
            sock.sendall(f"{head}early;".encode())
            while not received.endswith((b"early;", b"}\n")):
                data = sock.recv(4096)
                assert data, received
                received += data
        return received.startswith(b"HTTP/1.1 101 Switching\r\n")

    wait_until(talk)
    assert received.endswith(b"\r\n\r\nfirst;early;")


def test_tokens_stay_here(api: Api, web: str, host: Host) -> None:
    host.docker.exec_start(
        host.docker.exec_create(
            host.container_id("default", "web", "main"),
            ["sh", "-c", "printf '#!/bin/sh\\necho; env' > /tmp/www/cgi-bin/env; chmod +x /tmp/www/cgi-bin/env"],
        )["Id"]
    )
    raw = socket.create_connection(("127.0.0.1", api.port), timeout=30)
    with api.context.wrap_socket(raw, server_hostname="127.0.0.1") as sock:
        path = f"{POD}/web/proxy/cgi-bin/env"
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Mine: kept\r\n".encode())
        sock.sendall(b"Authorization: Bearer secret\r\nCookie: kept=too\r\n\r\n")
        answer = b""
        while chunk := sock.recv(65536):
            answer += chunk
    assert b"X_MINE=kept" in answer.upper().replace(b"KEPT", b"kept") and b"secret" not in answer


# --- the end ---------------------------------------------------------------------------------------------------------


def test_the_server_stops_promptly_with_open_streams(own_api: Any, host: Host) -> None:
    api, process = own_api
    api.add_pod(host.start("patient", ["sleep", "infinity"]))
    clients = [
        WebSocket(api, exec_path("patient", "sleep", "100"), "v4.channel.k8s.io"),
        WebSocket(api, f"{POD}/patient/log?follow=true", "binary.k8s.io"),
    ]
    assert [client.status for client in clients] == [101, 101]
    started = time.monotonic()
    process.terminate()
    assert process.wait(15) == 0
    assert time.monotonic() - started < 1.9  # less than the grace for requests that do not end
    for client in clients:
        client.sock.close()
