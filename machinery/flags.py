"""A process's command line as one value: a field of a dataclass that is declared with ``flag`` is a flag.

    @dataclass(frozen=True, kw_only=True)
    class Config:
        secure_port: int = flag(6443, "the port to listen on; 0 takes a free one")  # --secure-port=6443

The annotation says how the text is read: ``str``, ``int``, ``Path``, ``float`` (a duration, as ``seconds`` reads it),
``bool`` (a switch; with ``--no-…`` where the default is True) or ``tuple[str, ...]`` (names separated by commas).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import MISSING, Field, field, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from machinery.version import VERSION

Config = TypeVar("Config")
_KEY = "flag"


def flag(default: Any = MISSING, help: str = "", *, names: tuple[str, ...] = (), **options: Any) -> Any:
    """Return a dataclass field for a flag, which is required if it has no default.

    ``names`` replaces the name that the field gives it. ``options`` go to ``add_argument``; with ``action="append"``
    the flag may be repeated, and the field is a tuple.
    """
    return field(default=default, metadata={_KEY: {"help": help, "names": names, **options}})


def verbose() -> Any:
    return flag(False, "log every decision, not only what changed", names=("-v", "--verbose"))


def kubeconfig(default: Any = MISSING) -> Any:
    return flag(default, "how to reach the API server, and as whom", metavar="FILE")


def healthz_bind_address(default: str) -> Any:
    return flag(default, "where GET /healthz is answered, in plain HTTP; empty for nowhere", metavar="IP:PORT")


def parser(config: type, module: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """Return the parser of ``python -m MODULE`` with the flags of the dataclass ``config``."""
    made = argparse.ArgumentParser(
        f"python -m {module}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,  # the dataclass has the defaults
    )
    made.add_argument("--version", action="version", version=f"mini-minishift {VERSION}")
    annotations = get_type_hints(config)
    for each in fields(config):
        if _KEY in each.metadata:
            _add(made, each, annotations[each.name])
    return made


def parse(parser: argparse.ArgumentParser, config: type[Config], arguments: list[str] | None = None) -> Config:
    """Return what the command line says; end the process with a message if it is wrong."""
    given = vars(parser.parse_args(arguments))
    return config(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def seconds(text: str) -> float:
    """Return the seconds of a duration as upstream writes it (``40s``, ``1m``), or of a plain number."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    unit = next((unit for unit in units if text.endswith(unit)), "")
    return float(text.removesuffix(unit)) * units.get(unit, 1.0)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


# Annotation → how add_argument shall read the text.
_READERS: dict[Any, tuple[Callable[[str], Any], str]] = {
    str: (str, "TEXT"),
    int: (int, "NUMBER"),
    float: (seconds, "DURATION"),
    Path: (Path, "FILE"),
    Path | None: (Path, "FILE"),
    tuple[str, ...]: (_names, "LIST"),
}


def _add(parser: argparse.ArgumentParser, each: Field[Any], annotation: Any) -> None:
    options = dict(each.metadata[_KEY])
    names = options.pop("names") or (f"--{each.name.replace('_', '-')}",)
    default = each.default
    if annotation is bool:
        options.setdefault("action", argparse.BooleanOptionalAction if default else "store_true")
    else:
        reader, metavar = _READERS[annotation]
        options = {"type": str if options.get("action") == "append" else reader, "metavar": metavar, **options}
    if default is MISSING:
        options["required"] = True
    elif default:
        options["help"] += f" (default: {_shown(default)})"
    options["help"] = options["help"].replace("%", "%%")  # argparse would fill in something
    parser.add_argument(*names, dest=each.name, **options)


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(default)
    if isinstance(default, bool):
        return "on"
    return f"{default:g} s" if isinstance(default, float) else str(default)
