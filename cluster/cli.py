"""The cluster's verbs of the ``mini-minishift`` command: up, stop, down, status and logs, as ``make`` has them."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from cluster.errors import ClusterError
from cluster.settings import HOME_VARIABLE, IN_REPOSITORY, State, default_state
from machinery.errors import ApiError
from machinery.extras import MissingExtra
from machinery.kubeconfig import KubeconfigError
from machinery.version import VERSION

COMPONENTS = ("etcd", "apiserver", "controllers", "kubelet", "proxy", "supervisor")


class Commands(click.Group):
    """Shows what a command cannot do as a line instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ClusterError, KubeconfigError, ApiError, MissingExtra) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Where the cluster's state lies: keys, etcd's data, logs. [default: ${HOME_VARIABLE}, else .cluster/]",
)
@click.version_option(VERSION, prog_name="mini-minishift", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context, state_dir: Path | None) -> None:
    """A whole small Kubernetes on this machine: etcd, API server, controllers, kubelet on Docker, iptables proxy.

    \b
    mini-minishift up       start, or bring back, the cluster; then use kubectl
    mini-minishift status   how it is
    mini-minishift logs     what its components say
    mini-minishift stop     stop it and keep its objects
    mini-minishift down     remove everything that it put on this machine

    Without root or Docker: mini-minishift api runs an API server alone.
    """
    context.obj = State(state_dir.resolve()) if state_dir else default_state()


def _need_root() -> None:
    if os.geteuid() != 0:
        raise click.ClickException("this needs root (it makes containers and iptables rules): run it with sudo")


@main.command()
@click.option(
    "--core/--whole",
    default=None,
    help="With the core alone, which docs/reading.md lists and the article needs, or the whole.  [default: as before]",
)
@click.option("--timeout", default=120.0, show_default=True, help="Seconds to wait until the node is Ready.")
@click.pass_obj
def up(state: State, core: bool | None, timeout: float) -> None:
    """Start the cluster, or bring it back as it was.

    Looks at the machine first and says what is missing; installs Debian packages, starts Docker, builds the two
    images, makes certificates and starts the five components. Run again, it changes nothing.
    """
    _need_root()
    from cluster import launch
    from cluster.progress import Progress

    progress = Progress()
    launch.up(state, progress, core=core, seconds=timeout)
    progress.line(f"Ready in {progress.seconds():.1f} s. What to type next:")
    progress.line("  kubectl get nodes")
    if IN_REPOSITORY:
        progress.line("  make walkthrough    plays the article, command by command")
        progress.line("  make status         how the cluster is; make logs, make stop, make down")
    else:
        progress.line("  mini-minishift status    how the cluster is; also logs, stop, down")


@main.command()
@click.pass_obj
def prepare(state: State) -> None:
    """Install the packages and start the Docker engine that a cluster needs, without starting one."""
    _need_root()
    from cluster import launch
    from cluster.progress import Progress

    launch.prepare(state, Progress())


@main.command()
@click.pass_obj
def stop(state: State) -> None:
    """Stop the components and the pods' containers; `up` brings all of it back."""
    _need_root()
    from cluster import teardown
    from cluster.progress import Progress

    teardown.stop(state, Progress())


@main.command()
@click.option("--keep-images", is_flag=True, help="Leave the images, which the next `up` would build again.")
@click.pass_obj
def down(state: State, keep_images: bool) -> None:
    """Remove the cluster: processes, containers, rules, route, images, kubeconfig context and state."""
    _need_root()
    from cluster import teardown
    from cluster.progress import Progress

    teardown.down(state, Progress(), keep_images=keep_images)


@main.command()
@click.pass_obj
def status(state: State) -> None:
    """Tell what runs, since when and how well. Exit code 0: all is well; 1: something is not; 3: not running."""
    _need_root()
    from cluster import status as statuses

    report = statuses.collect(state)
    if report is None:
        click.echo(f"There is no cluster in {state.root}. Make one with: mini-minishift up")
        sys.exit(3)
    click.echo(statuses.render(report, state, time.time()))
    sys.exit(0 if report.well else 1 if report.parts else 3)


@main.command()
@click.argument("component", type=click.Choice(COMPONENTS), required=False)
@click.option("-f/-F", "--follow/--no-follow", default=True, help="Keep showing what is added.  [default: follow]")
@click.option("-n", "--lines", default=20, show_default=True, help="How many lines of the past, for each component.")
@click.option(
    "-v",
    "--verbosity",
    type=click.IntRange(0, 3),
    help="Tell the API server first how much to log from now on: 0 slow requests, 2 also those that write, 3 all.",
)
@click.pass_obj
def logs(state: State, component: str | None, follow: bool, lines: int, verbosity: int | None) -> None:
    """Show the logs of all components, or of one."""
    names = [component] if component else list(COMPONENTS)
    files = [path for name in names if (path := state.logs / f"{name}.log").exists()]
    if not files:
        raise click.ClickException(f"there are no logs in {state.logs}: start the cluster with make up")
    if verbosity is not None:
        from cluster import health

        health.client(state).raw("/debug/flags/v", method="PUT", body=verbosity)
    # tail waits for the kernel to tell of changes, and copes with files that are cut short.
    command = ["tail", f"--lines={lines}", *(["--follow=name", "--retry"] if follow else []), *map(str, files)]
    os.execvp(command[0], command)
