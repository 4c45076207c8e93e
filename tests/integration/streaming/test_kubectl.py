"""kubectl exec, logs, attach, port-forward and cp, before and after the change from SPDY to WebSocket."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from integration.streaming.conftest import Api, Host, Kubectl, WaitUntil

from kubelet.server.server import KubeletServer

pytestmark = [pytest.mark.docker, pytest.mark.client("kubectl")]
verb = pytest.mark.verb
Pod = Callable[..., str]


@pytest.fixture(scope="module")
def sleeper(host: Host, api: Api) -> str:
    api.add_pod(host.start("sleeper", ["sleep", "infinity"]))
    return "sleeper"


@verb("exec")
def test_exec_gives_output_and_success(kubectl: Kubectl, sleeper: str) -> None:
    done = kubectl.run("exec", sleeper, "--", "echo", "hello", "world")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"hello world\n", b"")


@verb("exec")
def test_each_kubectl_speaks_its_own_protocol(kubectl: Kubectl, sleeper: str, caplog: pytest.LogCaptureFixture) -> None:
    """What the other tests rely on: kubectl 1.32 would fall back to SPDY quietly."""
    with caplog.at_level(logging.DEBUG, "kubelet.server.handler"):
        assert kubectl.run("exec", sleeper, "--", "true").returncode == 0
    method = "POST" if kubectl.generation == "1.20" else "GET"
    assert f'"{method} /exec/default/{sleeper}/main' in caplog.text


@verb("exec")
def test_exec_keeps_stdout_and_stderr_apart_and_tells_the_exit_code(kubectl: Kubectl, sleeper: str) -> None:
    done = kubectl.run("exec", sleeper, "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert done.returncode == 3
    assert done.stdout == b"out\n"
    assert done.stderr == b"err\ncommand terminated with exit code 3\n"


@verb("exec")
def test_a_long_command_is_passed_whole(kubectl: Kubectl, sleeper: str) -> None:
    text = "a" * 60_000
    assert kubectl.run("exec", sleeper, "--", "echo", text).stdout.decode() == text + "\n"


@verb("exec")
def test_exec_passes_stdin_and_its_end(kubectl: Kubectl, sleeper: str) -> None:
    done = kubectl.run("exec", "-i", sleeper, "--", "sh", "-c", "cat; echo end", stdin=b"some\ninput\n")
    assert (done.returncode, done.stdout) == (0, b"some\ninput\nend\n")


@verb("exec")
def test_exec_of_an_unknown_command_says_so(kubectl: Kubectl, sleeper: str) -> None:
    done = kubectl.run("exec", sleeper, "--", "no-such-command")
    assert done.returncode == 1
    assert b"no-such-command" in done.stderr and b"executable file not found in $PATH" in done.stderr
    assert done.stdout == b""


@verb("exec")
def test_exec_of_much_output_loses_nothing(kubectl: Kubectl, sleeper: str) -> None:
    megabytes = 100
    script = f"dd if=/dev/zero bs=1M count={megabytes} 2>/dev/null"
    started = time.monotonic()
    done = kubectl.run("exec", sleeper, "--", "sh", "-c", script, timeout=120)
    print(f"{megabytes / (time.monotonic() - started):.0f} MB/s")
    assert done.returncode == 0
    assert len(done.stdout) == megabytes << 20


@verb("exec")
def test_exec_of_much_input_loses_nothing(kubectl: Kubectl, sleeper: str) -> None:
    data = os.urandom(1 << 20) * 100
    started = time.monotonic()
    done = kubectl.run("exec", "-i", sleeper, "--", "md5sum", stdin=data, timeout=120)
    print(f"{100 / (time.monotonic() - started):.0f} MB/s")
    assert done.stdout.split()[0].decode() == hashlib.md5(data).hexdigest()


@verb("exec")
def test_exec_of_an_echo_of_much_input(kubectl: Kubectl, sleeper: str) -> None:
    data = os.urandom(1 << 20) * 20
    done = kubectl.run("exec", "-i", sleeper, "--", "cat", stdin=data, timeout=120)
    assert done.stdout == data


@verb("exec")
def test_exec_of_a_process_that_does_not_read(kubectl: Kubectl, sleeper: str) -> None:
    done = kubectl.run("exec", "-i", sleeper, "--", "sh", "-c", "exit 7", stdin=os.urandom(8 << 20))
    assert done.returncode == 7


# --- terminals -----------------------------------------------------------------------------------------------------


class Terminal:
    """A command behind a pseudo-terminal."""

    def __init__(self, kubectl: Kubectl, *arguments: str, rows: int = 24, columns: int = 80) -> None:
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.process = kubectl.start(
            *arguments, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)
        self.output = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def expect(self, text: bytes, seconds: float = 15) -> bytes:
        deadline = time.monotonic() + seconds
        while text not in self.output:
            assert select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0], self.output
            try:
                chunk = os.read(self.master, 4096)
            except OSError:  # the other end is closed
                chunk = b""
            assert chunk, self.output
            self.output += chunk
        before, _, self.output = self.output.partition(text)
        return before

    def close(self) -> None:
        os.close(self.master)
        self.process.kill()
        self.process.wait(15)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()


@verb("exec -it")
def test_exec_with_a_terminal(kubectl: Kubectl, sleeper: str) -> None:
    terminal = Terminal(kubectl, "exec", "-it", sleeper, "--", "sh", rows=33, columns=99)
    # The size comes a moment after the shell has begun, as it does with upstream.
    terminal.type("while ! stty size | grep '33 99'; do sleep 0.1; done; test -t 1 && echo it is a ter''minal\n")
    terminal.expect(b"it is a terminal")
    terminal.resize(44, 88)
    os.kill(terminal.process.pid, signal.SIGWINCH)
    terminal.type("while ! stty size | grep '44 88'; do sleep 0.1; done; echo resized-o''k\n")
    terminal.expect(b"resized-ok")
    terminal.type("exit 5\n")
    terminal.expect(b"command terminated with exit code 5")
    assert terminal.process.wait(15) == 5
    terminal.close()


@verb("exec -it")
def test_interrupt_from_the_terminal(kubectl: Kubectl, sleeper: str) -> None:
    script = "trap 'exit 6' INT; echo ready; while :; do sleep 0.1; done"
    terminal = Terminal(kubectl, "exec", "-it", sleeper, "--", "sh", "-c", script)
    terminal.expect(b"ready")
    terminal.type("\x03")
    terminal.expect(b"exit code 6")
    terminal.close()


@verb("exec -it")
def test_a_terminal_is_hung_up_when_kubectl_is_killed(kubectl: Kubectl, sleeper: str, wait_until: WaitUntil) -> None:
    mark = f"mark{os.getpid()}{time.monotonic_ns()}"
    terminal = Terminal(kubectl, "exec", "-it", sleeper, "--", "sh", "-c", f"echo star''ted; sleep 1000; : {mark}")
    terminal.expect(b"started")
    terminal.process.kill()

    def gone() -> bool:
        return mark.encode() not in kubectl.run("exec", sleeper, "--", "ps", "-o", "args").stdout

    wait_until(gone)
    terminal.close()


# --- logs ----------------------------------------------------------------------------------------------------------


@verb("logs")
def test_logs_of_an_ended_container(kubectl: Kubectl, pod: Pod, host: Host) -> None:
    name = pod("sh", "-c", "echo one; usleep 50000; echo two >&2; usleep 50000; printf three")
    host.wait(name)
    assert kubectl.run("logs", name).stdout == b"one\ntwo\nthree"
    assert kubectl.run("logs", name, "--tail=1").stdout == b"three"
    assert kubectl.run("logs", name, "--tail=0").stdout == b""
    assert kubectl.run("logs", name, "--limit-bytes=5").stdout == b"one\nt"
    assert kubectl.run("logs", name, "--since=1h").stdout == b"one\ntwo\nthree"
    assert kubectl.run("logs", name, "--since-time=2099-01-01T00:00:00Z").stdout == b""
    assert kubectl.run("logs", "-f", name).stdout == b"one\ntwo\nthree"
    lines = kubectl.run("logs", name, "--timestamps").stdout.decode().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["one", "two", "three"]
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ", line) for line in lines)


@verb("logs")
def test_logs_of_long_lines_are_whole(kubectl: Kubectl, pod: Pod, host: Host) -> None:
    script = "head -c 100000 /dev/zero | tr '\\0' a; echo; echo next"
    name = pod("sh", "-c", script)
    host.wait(name)
    assert kubectl.run("logs", name).stdout == b"a" * 100000 + b"\nnext\n"
    first, second = kubectl.run("logs", name, "--timestamps").stdout.splitlines()
    assert first.split(b" ")[1:] == [b"a" * 100000]
    assert second.split(b" ")[1:] == [b"next"]


@verb("logs -f")
def test_followed_logs_arrive_as_they_are_written_and_end_with_the_container(
    kubectl: Kubectl, pod: Pod, host: Host
) -> None:
    name = pod("sh", "-c", "echo first; read line; echo got $line; echo last", stdin=True)
    follower = kubectl.start("logs", "-f", name)
    assert follower.stdout and follower.stderr
    assert follower.stdout.readline() == b"first\n"
    writer = kubectl.run("attach", "-i", name, stdin=b"word\n")
    assert b"got word" in writer.stdout
    assert follower.stdout.read() == b"got word\nlast\n"
    assert follower.wait(15) == 0
    follower.stdout.close()
    follower.stderr.close()


@verb("logs -f")
@pytest.mark.parametrize("pause", ["usleep 5000", ":"])
def test_followed_logs_are_whole_while_docker_rotates_them(kubectl: Kubectl, pod: Pod, pause: str) -> None:
    script = f"i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); [ $((i%50)) = 0 ] && {pause}; done; echo done"
    name = pod("sh", "-c", f"read go; {script}", stdin=True, log={"max-size": "50k", "max-file": "10"})
    follower = kubectl.start("logs", "-f", name)
    kubectl.start("attach", "-i", name, stdin=subprocess.PIPE).communicate(b"go\n", timeout=30)
    lines, _ = follower.communicate(timeout=30)
    assert lines.decode().splitlines() == [*(f"line {number}" for number in range(3000)), "done"]


@verb("logs -p")
def test_previous_logs(kubectl: Kubectl, pod: Pod, host: Host) -> None:
    name = pod("echo", "first attempt")
    host.wait(name)
    refused = kubectl.run("logs", "-p", name)
    assert refused.returncode == 1
    assert b'previous terminated container "main" in pod "' in refused.stderr
    pod("echo", "second attempt", name=name)
    host.wait(name)
    assert kubectl.run("logs", "-p", name).stdout == b"first attempt\n"
    assert kubectl.run("logs", name).stdout == b"second attempt\n"


@verb("logs")
def test_refusals_of_logs_have_upstreams_words(kubectl: Kubectl, host: Host, api: Api) -> None:
    api.add_pod(host.set_waiting("waiting", "ContainerCreating"))
    assert kubectl.run("logs", "waiting").stderr == (
        b'Error from server (BadRequest): container "main" in pod "waiting" is waiting to start: ContainerCreating\n'
    )
    assert b'pods "nobody" not found' in kubectl.run("logs", "nobody").stderr
    assert kubectl.run("logs", "waiting", "-c", "other").stderr in (
        b"error: container other is not valid for pod waiting\n",
        b"Error from server (BadRequest): container other is not valid for pod waiting\n",
    )


# --- attach, cp, port-forward ----------------------------------------------------------------------------------------


@verb("attach")
def test_attach_ends_with_the_container(kubectl: Kubectl, pod: Pod) -> None:
    name = pod("sh", "-c", "read a; echo out $a; echo err $a >&2; exit 4", stdin=True)
    done = kubectl.run("attach", "-i", name, stdin=b"x\n")
    assert b"out x\n" in done.stdout
    assert b"err x\n" in done.stderr


@verb("attach")
def test_attach_to_a_terminal(kubectl: Kubectl, pod: Pod) -> None:
    name = pod("sh", tty=True, stdin=True)
    terminal = Terminal(kubectl, "attach", "-it", name)
    terminal.type("\necho he''re\n")
    terminal.expect(b"here")
    terminal.type("exit\n")
    terminal.process.wait(15)
    terminal.close()


@verb("cp")
def test_cp_both_ways(kubectl: Kubectl, sleeper: str, tmp_path: Path) -> None:
    data = os.urandom(20 << 20)
    (tmp_path / "up").write_bytes(data)
    done = kubectl.run("cp", str(tmp_path / "up"), f"{sleeper}:/tmp/copy")
    assert done.returncode == 0, done.stderr
    done = kubectl.run("cp", f"{sleeper}:/tmp/copy", str(tmp_path / "down"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "down").read_bytes() == data


class Forward:
    """A running kubectl port-forward to one port."""

    def __init__(self, kubectl: Kubectl, name: str, port: int) -> None:
        self.process = kubectl.start("port-forward", f"pod/{name}", f":{port}")
        assert self.process.stdout
        line = self.process.stdout.readline().decode()
        found = re.search(r"127\.0\.0\.1:(\d+) -> ", line)
        assert found, line
        self.port = int(found[1])

    def close(self) -> bytes:
        self.process.terminate()
        _, errors = self.process.communicate(timeout=15)
        return bytes(errors)


@verb("port-forward")
def test_port_forward_to_a_web_server_on_the_pods_localhost(kubectl: Kubectl, pod: Pod) -> None:
    name = pod("sh", "-c", "echo hello > /tmp/index.html; exec httpd -f -p 127.0.0.1:8080 -h /tmp")
    forward = Forward(kubectl, name, 8080)
    for _ in range(5):
        with urllib.request.urlopen(f"http://127.0.0.1:{forward.port}/", timeout=15) as answer:
            assert answer.read() == b"hello\n"
    forward.close()


@verb("port-forward")
def test_port_forward_carries_much_both_ways_at_once(kubectl: Kubectl, pod: Pod) -> None:
    name = pod("sh", "-c", "while true; do nc -l -p 7000 -e cat; done")
    forward = Forward(kubectl, name, 7000)
    data = os.urandom(10 << 20)
    with socket.create_connection(("127.0.0.1", forward.port)) as connection:
        connection.settimeout(30)
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        received = bytearray()
        while len(received) < len(data):
            chunk = connection.recv(1 << 20)
            assert chunk, f"only {len(received)} bytes came back"
            received += chunk
        sender.join()
    assert bytes(received) == data
    forward.close()


@verb("port-forward")
def test_port_forward_to_a_closed_port_says_so(kubectl: Kubectl, sleeper: str) -> None:
    forward = Forward(kubectl, sleeper, 9)
    with socket.create_connection(("127.0.0.1", forward.port)) as connection:
        connection.settimeout(15)
        assert connection.recv(10) == b""
    errors = forward.close()
    assert b"error forwarding port 9 to pod" in errors and b"connection refused" in errors


# --- who leaves ------------------------------------------------------------------------------------------------------


@verb("exec")
def test_a_process_loses_its_stdin_when_kubectl_is_killed(
    kubectl: Kubectl, sleeper: str, wait_until: WaitUntil
) -> None:
    mark = f"mark{time.monotonic_ns()}"
    client = kubectl.start("exec", "-i", sleeper, "--", "sh", "-c", f"cat; : {mark}", stdin=subprocess.PIPE)
    assert client.stdin and client.stdout
    client.stdin.write(b"hello\n")
    client.stdin.flush()
    assert client.stdout.readline() == b"hello\n"
    client.kill()
    client.communicate()
    wait_until(lambda: mark.encode() not in kubectl.run("exec", sleeper, "--", "ps", "-o", "args").stdout)


@verb("logs -f")
def test_a_killed_follower_leaves_nothing_behind(
    kubectl: Kubectl, sleeper: str, kubelet: KubeletServer, wait_until: WaitUntil
) -> None:
    before = set(kubelet._connections)
    follower = kubectl.start("logs", "-f", sleeper)
    wait_until(lambda: set(kubelet._connections) - before)
    with_it = set(kubelet._connections)
    follower.kill()
    follower.communicate()
    wait_until(lambda: set(kubelet._connections).isdisjoint(with_it))
