"""Runs the components of a cluster and starts again what dies: ``python -m cluster.supervisor <state directory>``.

One process, one thread, which sleeps in sigtimedwait() until a child ends, it is told to stop, or a restart is due.

- All start at once: each waits for what it needs by itself, so nothing is lost by starting early.
- Each is a session of its own; when its first process ends, whatever is left of the session is killed, so that the
  next one finds ports free.
- A component that dies is started again after 0.1 s, doubled each time up to 10 s; ten good seconds reset that.
- When the supervisor itself is killed, the kernel sends its children SIGTERM: nothing is left behind.
- SIGTERM stops them in reverse order: etcd last, after the API server's last write.
- A full disk does not end it: what it could not write down it writes as soon as there is room.
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
PUBLISH_AGAIN = 1.0  # after the table could not be written
STOP_ORDER = (("proxy", "kubelet", "controllers"), ("apiserver",), ("etcd",))
WAKING = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)


def restart_delay(failures: int) -> float:
    """Return seconds to wait before the next start, after so many failures in a row (1 is the first)."""
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
        self.published = True  # the table on disk is as the children are

    def run(self) -> None:
        """Run until SIGTERM."""
        signal.pthread_sigmask(signal.SIG_BLOCK, WAKING)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal may close
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
        """Sleep until a signal or the given moment, then collect every child that ended."""
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
            os.killpg(child.pid, signal.SIGKILL)  # its workers, where it had any
        except ProcessLookupError:
            pass  # it had none left
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
        """A log that grew too long becomes the one before, and starts anew under the same open file."""
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
    """Become the component, in the new process; never return."""
    try:
        os.setsid()
        output = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(component.folder)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        # setpriv is part of Debian's base system: it sets the signal that follows the parent's death, then execs.
        os.execvp("setpriv", ["setpriv", "--pdeathsig", "TERM", "--", *component.argv])
    except OSError as error:
        os.write(2, f"cannot start {component.name}: {error}\n".encode())
    finally:
        os._exit(127)


def say(text: str) -> None:
    line = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} supervisor: {text}\n"
    # Past sys.stderr, whose buffer would keep a line that found the disk full and fail again with the next.
    with contextlib.suppress(OSError):
        os.write(2, line.encode())


def environment(state: State) -> dict[str, str]:
    """What the supervisor, and through it every component, finds in its environment."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONDONTWRITEBYTECODE", "KUBECONFIG")}
    return {
        **kept,
        STATE_VARIABLE: str(state.root),
        "PYTHONUNBUFFERED": "1",
        # Every thread would else get a malloc arena of its own, and these processes have hundreds.
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
