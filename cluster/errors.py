"""The base class of errors that the command shows its user as a line instead of a traceback."""

from __future__ import annotations


class ClusterError(Exception):
    """A command cannot go on; the text says why, and what to do about it."""
