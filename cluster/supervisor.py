"""Run the components of a cluster and restart those that end: ``python -m cluster.supervisor STATE-DIRECTORY``.

It is one process with one thread, which sleeps in sigtimedwait() until a child ends, it is told to stop, or a restart
is due.

- All components start at once. Each waits by itself for what it needs, so none has to start after another.
- Each has a session of its own. When its first process ends, all others of the session are killed, so that the next
  one finds its ports free.
- A component that ends is restarted after 0.1 s, then after twice as long each time, up to 10 s. When it has run for
  10 s, that starts again at 0.1 s.
- If the supervisor itself is killed, the kernel sends its children SIGTERM, so that nothing is left behind.
- SIGTERM stops them in reverse order: etcd last, after the API server's last write.
- A full disk does not end it. What it could not write, it writes as soon as there is room.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from cluster import lock, record, table
from cluster.components import Component, components
from cluster.processes import start_ticks
from cluster.settings import STATE_VARIABLE, State

FIRST_DELAY = 0.1
LONGEST_DELAY = 10.0
HEALTHY_AFTER = 10.0
STOP_SECONDS = 10.0
LOG_LIMIT = 8 * 1024 * 1024  # of one file; there are two: the current and the one before
LOG_CHECK_SECONDS = 60.0
PUBLISH_AGAIN = 1.0  # the pause after the table could not be written
STOP_ORDER = (("proxy", "kubelet", "controllers"), ("apiserver",), ("etcd",))
WAKING = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)


def restart_delay(failures: int) -> float:
    """Return the seconds to wait before the next start, after so many failures in a row (1 is the first)."""
    return float(min(FIRST_DELAY * 2 ** (failures - 1), LONGEST_DELAY))


@dataclass
class Child:
    component: Component
    pid: int = 0  # 0 while it does not run
    since: float = 0.0  # seconds since the epoch
    began: float = 0.0  # the same on the monotonic clock
    due: float = 0.0  # when to start it, while it does not run
    failures: int = 0  # in a row
    restarts: int = 0
    last_end: str = ""

    def row(self) -> table.Row:
        start = start_ticks(self.pid) if self.pid else None
        name = self.component.name
        return table.Row(name, self.pid, start or 0, self.since, self.restarts, self.last_end, self.failures)


class Supervisor:
    def __init__(self, state: State, wanted: list[Component]) -> None:
        self.state = state
        self.children = [Child(component) for component in wanted]
        self.stopping = False
        self.published = True  # whether the table on disk shows the present state

    def run(self) -> None:
        """Run until SIGTERM."""
        signal.pthread_sigmask(signal.SIG_BLOCK, WAKING)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # It must go on when the terminal closes.
        next_check = 0.0
        while not self.stopping:
            now = time.monotonic()
            self.start_due(now)
            if now >= next_check:
                self.bound_logs()
                next_check = now + LOG_CHECK_SECONDS
            dues = [child.due for child in self.children if not child.pid]
            if not self.published:
                dues.append(now + PUBLISH_AGAIN)
            self.wait(min([next_check, *dues]))
            if not self.published:
                self.publish()
        self.stop()

    def wait(self, until: float) -> None:
        """Sleep until a signal or that moment (time.monotonic), then handle every child that has ended."""
        info = signal.sigtimedwait(WAKING, max(0.0, until - time.monotonic()))
        if info is not None and info.si_signo != signal.SIGCHLD:
            self.stopping = True
        self.reap()

    def start_due(self, now: float) -> None:
        due = [child for child in self.children if not child.pid and child.due <= now]
        for child in due:
            self.start(child)
        if due:
            self.publish()

    def start(self, child: Child) -> None:
        log_path = self.state.logs / f"{child.component.name}.log"
        for socket in child.component.sockets:
            Path(child.component.folder, socket).unlink(missing_ok=True)
        pid = os.fork()
        if pid == 0:
            _become(child.component, log_path)
        child.pid, child.since, child.began = pid, time.time(), time.monotonic()

    def reap(self) -> None:
        changed = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            for child in self.children:
                if child.pid == pid:
                    self.ended(child, os.waitstatus_to_exitcode(status))
                    changed = True
        if changed:
            self.publish()

    def ended(self, child: Child, code: int) -> None:
        try:
            os.killpg(child.pid, signal.SIGKILL)  # its worker processes
        except ProcessLookupError:
            pass  # None of its session is left.
        child.pid = 0
        if self.stopping:
            return
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        child.failures = 1 if time.monotonic() - child.began >= HEALTHY_AFTER else child.failures + 1
        child.restarts += 1
        child.last_end = how
        delay = restart_delay(child.failures)
        child.due = time.monotonic() + delay
        say(f"{child.component.name} {how}; starting it again in {delay:.1f} s")

    def stop(self) -> None:
        for wave in STOP_ORDER:
            running = [child for child in self.children if child.pid and child.component.name in wave]
            for child in running:
                os.kill(child.pid, signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            while any(child.pid for child in running) and time.monotonic() < deadline:
                self.wait(deadline)
            for child in running:
                if child.pid:
                    say(f"{child.component.name} did not stop within {STOP_SECONDS:.0f} s: killed")
                    os.killpg(child.pid, signal.SIGKILL)
            while any(child.pid for child in running):
                self.wait(time.monotonic() + 1)
        self.state.children.unlink(missing_ok=True)
        say("stopped")

    def publish(self) -> None:
        try:
            table.write(self.state, [child.row() for child in self.children])
        except OSError as error:
            if self.published:
                say(f"cannot write {self.state.children}: {error}; trying again until it works")
            self.published = False
        else:
            self.published = True

    def bound_logs(self) -> None:
        """Move the content of each log that is too long to ``.log.1``, and truncate it.

        The component keeps its file open, so the log cannot be renamed.
        """
        for path in self.state.logs.glob("*.log"):
            if path.stat().st_size > LOG_LIMIT:
                before = path.with_suffix(".log.1")
                try:
                    shutil.copyfile(path, before)
                except OSError as error:
                    before.unlink(missing_ok=True)
                    say(f"cannot keep what {path} said before: {error}")
                os.truncate(path, 0)


def _become(component: Component, log_path: Path) -> None:
    """Execute the component in the new process. This function does not return."""
    try:
        os.setsid()
        output = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(component.folder)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        # setpriv (of Debian's base system) sets the signal to receive when the parent ends, and becomes the component.
        os.execvp("setpriv", ["setpriv", "--pdeathsig", "TERM", "--", *component.argv])
    except OSError as error:
        os.write(2, f"cannot start {component.name}: {error}\n".encode())
    finally:
        os._exit(127)


def say(text: str) -> None:
    line = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} supervisor: {text}\n"
    # sys.stderr would keep in its buffer a line that could not be written to a full disk, and fail again with the next.
    with contextlib.suppress(OSError):
        os.write(2, line.encode())


def environment(state: State) -> dict[str, str]:
    """Return the environment of the supervisor, which all components inherit."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONDONTWRITEBYTECODE", "KUBECONFIG")}
    return {
        **kept,
        STATE_VARIABLE: str(state.root),
        "PYTHONUNBUFFERED": "1",
        # Otherwise every thread would get a malloc arena of its own, and these processes have hundreds of threads.
        "MALLOC_ARENA_MAX": "2",
    }


def main() -> None:
    state = State(Path(sys.argv[1]))
    known = record.load(state)
    if known is None:
        sys.exit(f"supervisor: there is no cluster in {state.root}: run `mini-minishift up`")
    try:
        held = lock.acquire(str(state.root), known.id)
    except lock.LockHeld as error:
        sys.exit(f"supervisor: {error}")
    with held:
        say("starting")
        Supervisor(state, components(state, known)).run()


if __name__ == "__main__":
    main()
