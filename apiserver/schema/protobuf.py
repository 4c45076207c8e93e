"""Read and write objects in protobuf, in upstream's envelope: ``k8s\\0``, then a runtime.Unknown that says the kind.

Field numbers come from ``gofields.json``, which says where it has them from; ``make gofields`` derives it anew.
"""

from __future__ import annotations

from collections.abc import Sequence

from apiserver.schema.gotypes import alias
from apiserver.schema.varint import BYTES, MalformedMessageError, append, varint
from apiserver.schema.wire import UNKNOWN, is_message, message
from machinery.objects import Object

MAGIC = b"k8s\0"
_RAW, _NO_CONTENT_TYPE = b"\x12", b'\x1a\0"\0'  # of runtime.Unknown: a tag, and two texts that are empty
LENGTH_BYTES = 4  # of the length before a frame of a watch


class MalformedBodyError(ValueError):
    """A body that cannot be read; the text is upstream's. ``api_version`` and ``kind`` are "" if they are not known."""

    def __init__(self, text: str, api_version: str = "", kind: str = "") -> None:
        super().__init__(text)
        self.api_version = api_version
        self.kind = kind


def struct_of(api_version: str, kind: str) -> str:
    """Return the struct of a kind, as ``gotypes`` calls it, "" if there is none.

    The kinds of meta.k8s.io, such as Status and DeleteOptions, belong to every group.
    """
    group, _, version = api_version.rpartition("/")
    own = f"{group.partition('.')[0] or 'core'}.{version}.{kind}"
    return next((name for name in (own, f"meta.v1.{kind}") if is_message(name)), "")


def parse(body: bytes, api_version: str, kind: str, definition: str) -> Object:
    """Return the object in a body; of a kind that is not known, only what the envelope says.

    ``api_version`` and ``kind`` are what a body means that does not say them. An object of the kind in a version that
    is not known is read by the definition. Raises MalformedBodyError.
    """
    wanted = kind
    if not body:
        raise MalformedBodyError("empty data")
    if not body.startswith(MAGIC):
        expected = " ".join(map(str, MAGIC))
        raise MalformedBodyError(
            f"provided data does not appear to be a protobuf message, expected prefix [{expected}]"
        )
    if len(body) == len(MAGIC):
        raise MalformedBodyError("empty body")
    envelope: Object = {}
    obj: Object = {}
    try:
        message(UNKNOWN).read(body, len(MAGIC), len(body), envelope)
        kind = obj["kind"] = envelope.get("kind") or kind
        api_version = obj["apiVersion"] = envelope.get("apiVersion") or api_version
        if struct := struct_of(api_version, kind) or (alias(definition) if kind == wanted else ""):
            raw = envelope.get("raw", b"")
            message(struct).read(raw, 0, len(raw), obj)
    except (MalformedMessageError, UnicodeDecodeError) as error:
        text = str(error) if isinstance(error, MalformedMessageError) else "string field contains invalid UTF-8"
        raise MalformedBodyError(text, obj.get("apiVersion", ""), obj.get("kind", "")) from None
    except RecursionError:
        raise MalformedBodyError("exceeded max depth", api_version, kind) from None
    return obj


def api_version(body: bytes) -> str:
    """Return the apiVersion that a body names, "" for none or for a body that is not protobuf."""
    if not body.startswith(MAGIC):
        return ""
    envelope: Object = {}
    try:
        message(UNKNOWN).read(body, len(MAGIC), len(body), envelope)
    except (MalformedMessageError, UnicodeDecodeError):
        return ""
    found: str = envelope.get("apiVersion", "")
    return found


def write(obj: Object) -> bytes:
    """Return an object as a message, without its kind; raises KeyError for a kind that has no form in protobuf."""
    api_version, kind = _identity(obj)
    struct = struct_of(api_version, kind)
    if not struct:
        raise KeyError(f"{kind} of {api_version} has no form in protobuf")
    return message(struct).write(obj)


def serialize(obj: Object) -> bytes:
    """Return an object in its envelope; raises KeyError for a kind that has no form in protobuf."""
    return enclose(*_identity(obj), write(obj))


def _identity(obj: Object) -> tuple[str, str]:
    return obj.get("apiVersion", ""), obj["kind"]  # Some documents of discovery have no apiVersion.


def enclose(api_version: str, kind: str, raw: bytes) -> bytes:
    """Return the envelope of a message."""
    head, tail = _envelope(api_version, kind, len(raw))
    return b"".join((head, raw, tail))


def _envelope(api_version: str, kind: str, length: int) -> tuple[bytes, bytes]:
    """Return what stands before and after a message of this length."""
    identity = message(UNKNOWN).write({"apiVersion": api_version, "kind": kind})
    return MAGIC + identity + _RAW + varint(length), _NO_CONTENT_TYPE


def list_parts(
    api_version: str, kind: str, metadata: Object, messages: Sequence[bytes]
) -> tuple[bytes, list[bytes], bytes]:
    """Return a list in its envelope, in parts: what stands before the items, the items, and what stands after them."""
    struct = message(struct_of(api_version, kind))
    own = struct.write({"metadata": metadata})
    tag = varint(struct.numbers["items"] << 3 | BYTES)
    items: list[bytes] = []
    for each in messages:
        append(items, tag, each)
    head, tail = _envelope(api_version, kind, len(own) + sum(map(len, items)))
    return head + own, items, tail


def frame(type_: str, enclosed: bytes) -> bytes:
    """Return an event of a watch: a WatchEvent after its length (upstream: LengthDelimitedFramer)."""
    extension: list[bytes] = []
    append(extension, b"\n", enclosed)  # RawExtension.raw, which holds the object as it is, not JSON
    event: list[bytes] = []
    append(event, b"\n", type_.encode())
    append(event, b"\x12", b"".join(extension))
    written = b"".join(event)
    return len(written).to_bytes(LENGTH_BYTES, "big") + written
