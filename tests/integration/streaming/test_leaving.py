"""What becomes of an exec'd process when its client leaves: it meets a closed pipe, or a hang-up of its terminal."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from integration.streaming.conftest import Api, Host, WaitUntil
from integration.streaming.test_closing import connect

pytestmark = pytest.mark.docker
POD = "/api/v1/namespaces/default/pods"
SERVER = (
    "Upgrade: websocket",
    "Sec-WebSocket-Key: c2l4dGVlbiBieXRlcyEhIQ==",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Protocol: v4.channel.k8s.io",
)
STREAMS = {
    "output": {"stdout": "true", "stderr": "true"},
    "all": {"stdin": "true", "stdout": "true", "stderr": "true"},
    "terminal": {"stdin": "true", "stdout": "true", "tty": "true"},
}


def processes(host: Host, name: str) -> list[str]:
    """The commands that run in the pod's container, without its own."""
    rows = host.docker.top(host.container_id("default", name, "main"))["Processes"]
    return [row[-1] for row in rows if row[-1] != "sleep infinity"]


@pytest.mark.parametrize("streams", STREAMS)
@pytest.mark.parametrize(
    "command",
    [
        ["yes"],
        ["sh", "-c", "yes; true"],
        ["sh", "-c", "yes | cat"],
        ["sh", "-c", "yes >&2"],
        ["sh", "-c", "trap '' PIPE; while :; do echo y; done"],
        ["sh", "-c", "echo y; sleep 2; yes"],
    ],
)
def test_who_writes_to_nobody_is_ended(
    api: Api, pod: Callable[..., str], host: Host, wait_until: WaitUntil, command: list[str], streams: str
) -> None:
    name = pod("sleep", "infinity")
    query = urlencode([*(("command", word) for word in command), *STREAMS[streams].items()])
    sock, rest = connect(api, f"{POD}/{name}/exec?{query}", *SERVER)
    while b"y" not in rest:
        rest += sock.recv(1000)
    assert processes(host, name)
    sock.close()
    wait_until(lambda: not processes(host, name), 10)


def test_who_writes_nothing_goes_on(api: Api, pod: Callable[..., str], host: Host, wait_until: WaitUntil) -> None:
    """A process that was started to stay, say."""
    name = pod("sleep", "infinity")
    command = ["sh", "-c", "echo y; sleep 2; touch /tmp/done"]
    query = urlencode([*(("command", word) for word in command), *STREAMS["output"].items()])
    sock, rest = connect(api, f"{POD}/{name}/exec?{query}", *SERVER)
    while b"y" not in rest:
        rest += sock.recv(1000)
    sock.close()
    wait_until(lambda: not processes(host, name), 10)
    found = host.docker.exec_create(host.container_id("default", name, "main"), ["test", "-e", "/tmp/done"])
    host.docker.exec_start(found["Id"])
    assert host.docker.exec_inspect(found["Id"])["ExitCode"] == 0
