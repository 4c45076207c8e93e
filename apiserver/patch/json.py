"""JSON patch (RFC 6902) and JSON merge patch (RFC 7396), as upstream's library has them.

That is github.com/evanphx/json-patch v4.12, which is kinder than the RFC in places that clients rely on: ``replace`` of
a member that does not exist adds it, ``test`` of one against null passes, and a negative index counts from the end of a
list. No operation costs more than the part of the document that it touches.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from apiserver.schema.tree import MismatchError
from machinery.errors import BadRequest, Invalid, RequestEntityTooLarge

MOST_OPERATIONS = 10_000
# Repeated "copy" operations can double a document again and again, so upstream limits what they add.
MOST_COPIED_BYTES = 3 * 1024 * 1024
MEMBERS = ("op", "path", "from", "value")
_INDEX = re.compile(r"[-+]?[0-9]{1,18}", re.ASCII)
_MISSING = "missing value"
_ABSENT = object()


class _FailedError(Exception):
    """An operation that cannot be applied; the text is the library's."""


def apply_json_patch(document: Any, operations: list[Any]) -> Any:
    """Return the patched document; ``document`` itself may be modified.

    Raises BadRequest for malformed operations, Invalid for those that cannot be applied, RequestEntityTooLarge.
    """
    for operation in operations:
        _check_form(operation)
    if len(operations) > MOST_OPERATIONS:
        raise RequestEntityTooLarge(
            f"The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {len(operations)}"
        )
    patched = _Document(document)
    try:
        for operation in operations:
            patched.apply(operation or {})
    except _FailedError as error:
        raise unprocessable(str(error)) from None
    return patched.root


def _check_form(operation: Any) -> None:
    """Raise BadRequest unless it is an object whose ``op``, ``path`` and ``from`` are strings."""
    if operation is None:
        return
    if not isinstance(operation, dict):
        raise BadRequest(f"error decoding patch: {MismatchError(operation, 'handlers.jsonPatchOp')}")
    for member in MEMBERS[:3]:
        value = operation.get(member)
        if value is not None and not isinstance(value, str):
            mismatch = MismatchError(value, "string")
            mismatch.inside("jsonPatchOp", member)
            raise BadRequest(f"error decoding patch: {mismatch}")


class _Document:
    """A document that operations change in place."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self._copied = 0

    def apply(self, operation: dict[str, Any]) -> None:
        """Carry out one operation; raises _FailedError."""
        kinds: dict[Any, Callable[[dict[str, Any]], None]] = {
            "add": self._add,
            "remove": self._remove,
            "replace": self._replace,
            "move": self._move,
            "test": self._test,
            "copy": self._copy,
        }
        act = kinds.get(operation.get("op"))
        if act is None:
            raise _FailedError(f"Unexpected kind: {operation.get('op') or 'unknown'}")
        act(operation)

    def _add(self, operation: dict[str, Any]) -> None:
        path = _pointer(operation, "path", "add operation failed to decode path")
        holder, key = self._find(path, f'add operation does not apply: doc is missing path: "{path}"')
        _in(f"error in add for path: '{path}'", _insert, holder, key, operation.get("value"))

    def _remove(self, operation: dict[str, Any]) -> None:
        path = _pointer(operation, "path", "remove operation failed to decode path")
        holder, key = self._find(path, f'remove operation does not apply: doc is missing path: "{path}"')
        _in(f"error in remove for path: '{path}'", _delete, holder, key)

    def _replace(self, operation: dict[str, Any]) -> None:
        path = _pointer(operation, "path", "replace operation failed to decode path: operation missing path field")
        value = operation.get("value")
        if path == "":
            if not isinstance(value, dict | list):
                raise _FailedError("replace operation value must be object or array")
            self.root = value
            return
        holder, key = self._find(path, f"replace operation does not apply: doc is missing path: {path}")
        if isinstance(holder, list):
            try:
                holder[_index(key, len(holder))] = value
            except _FailedError:
                why = f"replace operation does not apply: doc is missing key: {path}: {_MISSING}"
                raise _FailedError(why) from None
        else:
            holder[key] = value

    def _move(self, operation: dict[str, Any]) -> None:
        source = _pointer(operation, "from", "move operation failed to decode from: operation, missing from field")
        holder, key = self._find(source, f"move operation does not apply: doc is missing from path: {source}")
        value = _in(f"error in move for path: '{key}'", _get, holder, key)
        _in(f"error in move for path: '{key}'", _delete, holder, key)
        path = _pointer(operation, "path", "move operation failed to decode path: operation missing path field")
        holder, key = self._find(path, f"move operation does not apply: doc is missing destination path: {path}")
        _in(f"error in move for path: '{path}'", _insert, holder, key, value)

    def _copy(self, operation: dict[str, Any]) -> None:
        source = _pointer(operation, "from", "copy operation failed to decode from: operation, missing from field")
        holder, key = self._find(source, f"copy operation does not apply: doc is missing from path: {source}")
        value = _in(f"error in copy for from: '{source}'", _get, holder, key)
        path = _pointer(operation, "path", "copy operation failed to decode path")
        holder, key = self._find(path, f"copy operation does not apply: doc is missing destination path: {path}")
        try:
            text = orjson.dumps(value)
        except TypeError:  # it has been nested too deep by operations before
            raise _FailedError("error while performing deep copy: exceeded max depth") from None
        self._copied += len(text)
        if self._copied > MOST_COPIED_BYTES:
            raise _FailedError(
                f"Unable to complete the copy, the accumulated size increase of copy is {self._copied}, "
                f"exceeding the limit {MOST_COPIED_BYTES}"
            )
        _in("error while adding value during copy", _insert, holder, key, orjson.loads(text))

    def _test(self, operation: dict[str, Any]) -> None:
        path = _pointer(operation, "path", "test operation failed to decode path: operation missing path field")
        wanted = operation.get("value", _ABSENT)
        if path == "":
            found = self.root
        else:
            holder, key = self._find(path, f"test operation does not apply: is missing path: {path}")
            found = _in(f"error in test for path: '{path}'", _get, holder, key)
        if found is None and wanted in (None, _ABSENT):
            return
        if wanted is _ABSENT or not _equal(found, wanted):
            raise _FailedError(f"testing value {path} failed: test failed")

    def _find(self, path: str, missing: str) -> tuple[Any, str]:
        """Return the list or object in which a path ends, and the last part of the path; raises _FailedError."""
        parts = path.split("/")[1:]  # what stands before the first slash is ignored
        holder = self.root
        if not parts:
            raise _FailedError(f"{missing}: {_MISSING}")
        try:
            for part in parts[:-1]:
                holder = _get(holder, _decoded(part))
        except _FailedError:
            holder = None
        if not isinstance(holder, dict | list):
            raise _FailedError(f"{missing}: {_MISSING}")
        return holder, _decoded(parts[-1])


def _pointer(operation: dict[str, Any], member: str, missing: str) -> str:
    pointer: str | None = operation.get(member)
    if pointer is None:
        raise _FailedError(f"{missing}: {_MISSING}")
    return pointer


def _decoded(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~") if "~" in part else part


def _in(where: str, act: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return act(*arguments)
    except _FailedError as error:
        raise _FailedError(f"{where}: {error}") from None


def _get(holder: Any, key: str) -> Any:
    """Return a member, None for one that an object does not have; raises _FailedError."""
    if isinstance(holder, list):
        return holder[_index(key, len(holder))]
    if isinstance(holder, dict):
        return holder.get(key)
    raise _FailedError(_MISSING)


def _insert(holder: Any, key: str, value: Any) -> None:
    if isinstance(holder, dict):
        holder[key] = value
    elif key == "-":
        holder.append(value)
    else:
        try:
            holder.insert(_index(key, len(holder) + 1), value)
        except _NoIndexError as error:
            raise _FailedError(f"value was not a proper array index: '{key}': {error}") from None


def _delete(holder: Any, key: str) -> None:
    if isinstance(holder, list):
        del holder[_index(key, len(holder))]
    elif key in holder:
        del holder[key]
    else:
        raise _FailedError(f"Unable to remove nonexistent key: {key}: {_MISSING}")


class _NoIndexError(_FailedError):
    """A text that is no number."""


def _index(key: str, length: int) -> int:
    """Return the place in a list that a part of a path means; raises _FailedError."""
    if not _INDEX.fullmatch(key):
        raise _NoIndexError(f'strconv.Atoi: parsing "{key}": invalid syntax')
    index = int(key)
    if not -length <= index < length:
        raise _FailedError(f"Unable to access invalid index: {index}: invalid index referenced")
    return index + length if index < 0 else index


def _equal(left: Any, right: Any) -> bool:
    """Return True if two values are equal as JSON: unlike Python, where 1, 1.0 and True are the same."""
    if isinstance(left, dict) and isinstance(right, dict):
        if left.keys() != right.keys():
            return False
        return all(_equal(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return type(left) is type(right) and bool(left == right)


def merge(target: Any, patch: Any) -> Any:
    """Return the target changed by a merge patch: objects merge, null removes, everything else replaces.

    ``target`` may be modified, and parts of the patch may become parts of the result.
    """
    if not isinstance(patch, dict):
        return patch if isinstance(target, dict) else _without_nulls(patch)
    if not isinstance(target, dict):
        return _without_nulls(patch)
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = merge(target.get(key), value)
    return target


def _without_nulls(value: Any) -> Any:
    """Return a value without the members that are null; nulls in lists stay."""
    if isinstance(value, dict):
        return {key: _without_nulls(child) for key, child in value.items() if child is not None}
    return [_without_nulls(child) for child in value] if isinstance(value, list) else value


def unprocessable(why: str) -> Invalid:
    """Return upstream's 422 for a well-formed patch that cannot be applied. Upstream does not say why; this does."""
    return Invalid(
        f"the server rejected our request due to an error in our request: {why}",
        details={"causes": [{"reason": "UnexpectedServerResponse", "message": why, "field": "patch"}]},
    )
