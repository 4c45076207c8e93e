"""The project's version, which stands here alone: the wheel's metadata and every ``--version`` read it."""

VERSION = "0.2.0"
