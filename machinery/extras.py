"""The libraries that only some parts need. pip installs them with an extra, which `pyproject.toml` lists."""

from __future__ import annotations

from importlib.util import find_spec

# Extra → the modules that it brings, as they are imported.
EXTRAS = {"etcd": ("etcd3", "hpack"), "cluster": ("etcd3", "hpack", "docker", "pyroute2")}


class MissingExtra(Exception):
    """A library that was not installed; the text names the extra that brings it."""


def require(extra: str, *modules: str) -> None:
    """Raise MissingExtra unless these modules (all of the extra's, if none is named) can be imported."""
    missing = [module for module in modules or EXTRAS[extra] if find_spec(module) is None]
    if missing:
        raise MissingExtra(
            f"{', '.join(missing)} cannot be imported. Install what this needs: pip install 'mini-minishift[{extra}]'"
        )
