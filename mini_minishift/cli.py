"""The command ``mini-minishift api``, which is added to the commands for a whole cluster."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from cluster import kubeconfigs
from cluster.cli import main as commands
from cluster.errors import ClusterError
from cluster.progress import Progress
from machinery import kubeconfig as kubeconfig_files
from machinery.component import setup_logging
from machinery.extras import MissingExtra
from mini_minishift.interrupts import Interrupts
from mini_minishift.standalone import ALL, CONTEXT, MEMORY, STORES, Ready, Standalone, StandaloneOptions

FOLDER = click.Path(file_okay=False, resolve_path=True, path_type=Path)
FILE = click.Path(dir_okay=False, resolve_path=True, path_type=Path)


@commands.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default="a free one", help="On 127.0.0.1.")
@click.option("--store", type=click.Choice(STORES), default=MEMORY, show_default=True, help="Where objects are kept.")
@click.option("--etcd", default="etcd", show_default=True, help="The program that --store=etcd starts.")
@click.option("--controllers", default=ALL, show_default=True, help="*, none, or a list: *,-garbagecollector.")
@click.option("--kubeconfig", type=FILE, help=f"Add the context {CONTEXT} there, selected, until the server ends.")
@click.option("--data-dir", type=FOLDER, help="Keep objects, keys and log there for the next time.")
@click.option("-v", "--verbose", is_flag=True, help="Show the server's log here.")
def api(
    port: int, store: str, etcd: str, controllers: str, kubeconfig: Path | None, data_dir: Path | None, verbose: bool
) -> None:
    """Run an API server, and the controllers that need no node, until Ctrl-C.

    It takes neither root nor Docker nor etcd, and leaves nothing behind. There is no node, so pods stay Pending.
    """
    code = 0
    with ExitStack() as stack:
        interrupts = Interrupts()
        interrupts.install()
        folder = data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mini-minishift-api-")))
        folder = folder.resolve()
        progress = Progress()

        def ready(access: Ready) -> None:
            if kubeconfig is not None:
                stack.enter_context(_merged(kubeconfig, Path(access.kubeconfig)))
            progress.line(f"Ready in {progress.seconds():.1f} s at {access.url}. In another terminal:")
            used = (kubeconfig or Path(access.kubeconfig)).resolve()
            if used != kubeconfigs.users_file().resolve():
                progress.line(f"  export KUBECONFIG={used}")
            progress.line("  kubectl get namespaces")
            progress.line("Ctrl-C ends it.")

        try:
            with _log(None if verbose else folder / "server.log"):
                Standalone(StandaloneOptions(folder, port, store, etcd, controllers), progress, ready, interrupts).run()
        except (ClusterError, MissingExtra) as error:
            code = 1
            interrupts.ignore()
            click.echo(f"Error: {error}", err=True)
        finally:
            interrupts.ignore()
    if code == 0:
        progress.line(f"Ended. {folder} keeps its data." if data_dir else "Ended. Nothing is left of it.")
    # The interpreter's own end would wait for threads, which wait for clients.
    sys.stdout.flush()
    os._exit(code)


@contextmanager
def _log(file: Path | None) -> Iterator[None]:
    """Write everything that goes to standard error into a file; if the block fails, undo that."""
    setup_logging()
    if file is None:
        yield
        return
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    terminal = os.dup(2)
    with file.open("ab") as log:
        os.dup2(log.fileno(), 2)
    try:
        yield
    except BaseException:
        os.dup2(terminal, 2)
        raise
    finally:
        os.close(terminal)


@contextmanager
def _merged(file: Path, ours: Path) -> Iterator[None]:
    """Keep our context in the user's kubeconfig, selected, while the block runs."""
    before = kubeconfig_files.load(file)
    kubeconfig_files.save(file, kubeconfig_files.merge(before, kubeconfig_files.load(ours)))
    try:
        yield
    finally:
        kubeconfigs.take_out(file, (CONTEXT,), before.get("current-context") or "")


if __name__ == "__main__":
    commands(prog_name="mini-minishift")
