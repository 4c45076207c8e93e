"""Who writes fields of an object, and what is applied to it: the words that the verbs and managed fields share."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from machinery.objects import Object

MOST_NAME_BYTES = 128


class Writer(NamedTuple):
    """The manager's name, and the version and subresource through which a request writes."""

    name: str
    version: str = ""  # empty: the kind's own
    subresource: str = ""


class Configuration(NamedTuple):
    """What is to be applied, in the stored version. ``duplicates`` is a message about keys that occur twice, or ""."""

    object: Object
    duplicates: str = ""


@lru_cache(maxsize=1024)
def manager_name(field_manager: str, user_agent: str) -> str:
    """Return the name of a manager: the parameter fieldManager, or the user agent up to its first slash.

    Of the user agent it takes at most 128 bytes (upstream: endpoints/handlers, managerOrUserAgent).
    """
    if field_manager:
        return field_manager
    name = "".join(filter(str.isprintable, user_agent.partition("/")[0]))
    return name.encode()[:MOST_NAME_BYTES].decode(errors="ignore")  # without the half of a character at the end
