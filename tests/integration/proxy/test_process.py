"""``python -m proxy`` as a process, against a stub of the API, in a network namespace of its own."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from integration.proxy.conftest import Network

from machinery import kubeconfig
from machinery.objects import Object

pytestmark = pytest.mark.iptables

SERVICE: Object = {
    "metadata": {"namespace": "namingthings", "name": "simpleservice", "uid": "s", "resourceVersion": "1"},
    "spec": {"clusterIP": "172.30.40.155", "ports": [{"port": 80, "protocol": "TCP"}]},
}


def endpoint_slice(version: str, *addresses: str) -> Object:
    return {
        "metadata": {
            "namespace": "namingthings",
            "name": "simpleservice-abcde",
            "uid": "e",
            "resourceVersion": version,
            "labels": {"kubernetes.io/service-name": "simpleservice"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 9876, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address]} for address in addresses],
    }


class Server(ThreadingHTTPServer):
    """The stub of the API."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.events = queue.Queue[Object | None]()  # of slices; None ends the watch


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        slices = "endpointslices" in self.path
        if "watch=true" not in self.path:
            items = [endpoint_slice("2", "172.17.0.2")] if slices else [SERVICE]
            body = json.dumps({"metadata": {"resourceVersion": "2"}, "items": items}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        events = self.server.events if slices else queue.Queue[Object | None]()
        while (event := events.get()) is not None:
            data = json.dumps(event).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def api(net: Network) -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.events.put(None)
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def proxy(api: Server, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    path = tmp_path / "kubeconfig"
    kubeconfig.save(path, kubeconfig.build("stub", {"server": f"http://127.0.0.1:{api.server_port}"}, {}))
    command = [sys.executable, "-m", "proxy", "--kubeconfig", str(path), "--healthz-bind-address=127.0.0.1:10256"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def shown(text: str = "simpleservice") -> list[str]:
    saved = subprocess.run(["iptables-save"], check=True, capture_output=True, text=True).stdout
    return [line for line in saved.splitlines() if text in line]


def until(log: Iterable[str], text: str) -> str:
    """Reads the proxy's log up to a line with this text."""
    for line in log:
        if text in line:
            return line
    raise AssertionError(f"the proxy ended without saying {text!r}")


def test_from_start_to_cleanup(proxy: subprocess.Popen[str], api: Server, net: Network) -> None:
    assert proxy.stderr is not None
    until(proxy.stderr, "wrote all rules")
    assert len(shown()) == 4
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open("http://127.0.0.1:10256/healthz", timeout=5) as answer:
        assert answer.read() == b"ok"

    api.events.put({"type": "MODIFIED", "object": endpoint_slice("3", "172.17.0.2", "172.17.0.4")})
    until(proxy.stderr, "updated rules")
    assert len(shown()) == 7

    subprocess.run(["iptables", "-t", "nat", "-F"], check=True)
    until(proxy.stderr, "somebody changed our rules")
    until(proxy.stderr, "wrote all rules")
    assert len(shown()) == 7

    subprocess.run(["ip", "link", "del", "kube-sink"], check=True)
    until(proxy.stderr, "into kube-sink")

    began = time.monotonic()
    proxy.send_signal(signal.SIGTERM)
    assert proxy.wait(5) == 0
    assert time.monotonic() - began < 2
    assert len(shown()) == 7  # traffic goes on

    for _ in range(2):
        subprocess.run([sys.executable, "-m", "proxy", "--cleanup"], check=True, stderr=subprocess.DEVNULL)
        assert shown("KUBE") == []
        links = subprocess.run(["ip", "-o", "link"], check=True, capture_output=True, text=True).stdout
        assert "kube-sink" not in links


def test_without_a_kubeconfig_it_says_what_to_do(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "proxy", "--kubeconfig", str(tmp_path / "none")]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "Start the cluster with: make up" in ended.stderr
