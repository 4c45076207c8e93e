"""A dataclass as a command line."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from machinery import flags
from machinery.flags import flag, parse, parser
from machinery.version import VERSION


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str = flag(help="what it is called")
    port: int = flag(6443, "where it listens")
    pause: float = flag(40.0, "how long it waits")
    file: Path | None = flag(None, "what it reads")
    strict: bool = flag(True, "whether it is")
    quick: bool = flag(False, "whether it is")
    plugins: tuple[str, ...] = flag(("a", "b"), "what it loads")
    addresses: tuple[str, ...] = flag(("127.0.0.1",), "100% of them", names=("--address",), action="append")
    derived: int = 7


PARSER = parser(Config, "thing", "Does things.")


def test_what_is_not_said_has_its_default() -> None:
    assert parse(PARSER, Config, ["--name=x"]) == Config(name="x")


def test_each_annotation_reads_its_text() -> None:
    said = ["--name=x", "--port=1", "--pause=1m", "--file=/f", "--no-strict", "--quick", "--plugins=c,d"]
    assert parse(PARSER, Config, [*said, "--address=::1", "--address=::2"]) == Config(
        name="x",
        port=1,
        pause=60.0,
        file=Path("/f"),
        strict=False,
        quick=True,
        plugins=("c", "d"),
        addresses=("::1", "::2"),
    )


@pytest.mark.parametrize(
    "wrong", [[], ["--name=x", "--port=y"], ["--name=x", "--derived=8"], ["--name=x", "--pause=s"]]
)
def test_what_is_wrong_ends_the_process(wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse(PARSER, Config, wrong)


def test_the_help_has_each_flag_with_its_default() -> None:
    text = " ".join(PARSER.format_help().split())
    assert "--port NUMBER where it listens (default: 6443)" in text
    assert "--pause DURATION how long it waits (default: 40 s)" in text
    assert "--strict, --no-strict whether it is (default: on)" in text
    assert "--plugins LIST what it loads (default: a,b)" in text
    assert "derived" not in text


@pytest.mark.parametrize("module", ["apiserver", "controllers", "kubelet", "proxy"])
def test_every_process_tells_its_version_and_its_flags(module: str) -> None:
    def run(flag: str) -> str:
        return subprocess.run([sys.executable, "-m", module, flag], check=True, capture_output=True, text=True).stdout

    assert run("--version") == f"mini-minishift {VERSION}\n"
    assert f"usage: python -m {module}" in run("--help")


@pytest.mark.parametrize(
    ("text", "expected"), [("40s", 40.0), ("1m", 60.0), ("2h", 7200.0), ("5ms", 0.005), ("3", 3.0)]
)
def test_durations(text: str, expected: float) -> None:
    assert flags.seconds(text) == expected
