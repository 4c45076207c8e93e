"""What can go wrong with a volume; the message ends in a FailedMount event."""

from __future__ import annotations


class VolumeError(Exception):
    pass
