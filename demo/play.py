"""Play a transcript on the running cluster: run each command as a person would type it, and compare its output.

It ends with exit code 1 at the first output that is not as the transcript says, and prints the difference.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import transcript

FOLDER = Path(__file__).resolve().parent
REPEAT_SECONDS = 0.2  # as fast as a person repeats a command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("transcript", nargs="?", type=Path, default=FOLDER / "walkthrough.txt")
    parser.add_argument(
        "--kubeconfig",
        type=Path,
        default=FOLDER.parent / ".cluster" / "kubeconfig",
        help="of the cluster to play on; it is copied, since the transcript selects a namespace in it",
    )
    options = parser.parse_args()
    if not options.kubeconfig.exists():
        sys.exit(f"there is no kubeconfig at {options.kubeconfig}: start the cluster with make up")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "kubeconfig")
        shutil.copyfile(options.kubeconfig, copy)
        sys.exit(0 if play(transcript.parse(options.transcript.read_text()), copy) else 1)


def play(steps: list[transcript.Step], kubeconfig: Path) -> bool:
    """Play all steps; return False after the first whose output does not match."""
    values: transcript.Values = {}
    began = time.monotonic()
    for step in steps:
        if step.heading:
            print(f"\n{step.heading}")
        command = transcript.fill(step.command, values)
        print(f"\n$ {command}", flush=True)
        output, matched = run_until_it_matches(step, command, kubeconfig, values)
        print(output.rstrip("\n"), flush=True)
        if matched is None:
            print(f"\nNot what the article says:\n{transcript.difference(step, output, values)}")
            return False
        values = matched
    print(f"\nAll {len(steps)} commands printed what the article says, in {time.monotonic() - began:.1f} s.")
    return True


def run_until_it_matches(
    step: transcript.Step, command: str, kubeconfig: Path, values: transcript.Values
) -> tuple[str, transcript.Values | None]:
    """Repeat a command for ``step.seconds`` until its output matches; return the output, and ``transcript.match``."""
    deadline = time.monotonic() + step.seconds
    while True:
        output = run(command, kubeconfig)
        matched = transcript.match(step, output, values)
        if matched is not None or time.monotonic() > deadline:
            return output, matched
        time.sleep(REPEAT_SECONDS)


def run(command: str, kubeconfig: Path) -> str:
    """Run a command in bash; return its stdout and stderr as a terminal would show them."""
    result = subprocess.run(
        ["bash", "-c", command],
        cwd=FOLDER.parent,
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return result.stdout


if __name__ == "__main__":
    main()
