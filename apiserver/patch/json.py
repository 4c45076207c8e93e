"""JSON patch (RFC 6902), with the jsonpatch library and upstream's limits and errors; JSON merge patch (RFC 7396)."""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer
import orjson

from machinery.errors import BadRequest, Invalid, RequestEntityTooLarge

MOST_OPERATIONS = 10_000
# Repeated "copy" operations can double a document again and again, so upstream limits what they add.
MOST_COPIED_BYTES = 3 * 1024 * 1024


def apply_json_patch(document: Any, operations: list[Any]) -> Any:
    """Return the patched document; ``document`` itself may be modified.

    Raises BadRequest for malformed operations, Invalid for those that cannot be applied, RequestEntityTooLarge.
    """
    if len(operations) > MOST_OPERATIONS:
        raise RequestEntityTooLarge(
            f"The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {len(operations)}"
        )
    copied = 0
    for operation in operations:
        if not isinstance(operation, dict):
            raise BadRequest("json: cannot unmarshal a JSON patch: each operation must be an object")
        if operation.get("op") == "copy":
            copied += _size(document, operation.get("from"))
            if copied > MOST_COPIED_BYTES:
                raise unprocessable(
                    f"Unable to complete the copy, the accumulated size increase of copy is {copied}, "
                    f"exceeding the limit {MOST_COPIED_BYTES}"
                )
        document = _apply(document, operation)
    return document


def _apply(document: Any, operation: dict[str, Any]) -> Any:
    path = operation.get("path")
    try:
        return jsonpatch.JsonPatch([operation]).apply(document, in_place=True)
    except jsonpatch.InvalidJsonPatch as error:
        raise BadRequest(f"error decoding patch: {error}") from None
    except jsonpatch.JsonPatchTestFailed:
        raise unprocessable(f"testing value {path} failed: test failed") from None
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, LookupError, TypeError, ValueError):
        raise unprocessable(
            f'{operation["op"]} operation does not apply: doc is missing path: "{path}": missing value'
        ) from None


def _size(document: Any, pointer: Any) -> int:
    try:
        return len(orjson.dumps(jsonpointer.resolve_pointer(document, pointer)))
    except (jsonpointer.JsonPointerException, TypeError, AttributeError):
        return 0  # the operation fails when it is applied


def merge(target: Any, patch: Any) -> Any:
    """Return the target changed by a merge patch: objects merge, null removes, everything else replaces.

    ``target`` may be modified, and parts of the patch may become parts of the result.
    """
    if not isinstance(patch, dict):
        return patch
    if not isinstance(target, dict):
        target = {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            target[key] = merge(target.get(key), value)
        else:
            target[key] = value
    return target


def unprocessable(why: str) -> Invalid:
    """Return upstream's 422 for a well-formed patch that cannot be applied. Upstream does not say why; this does."""
    return Invalid(
        f"the server rejected our request due to an error in our request: {why}",
        details={"causes": [{"reason": "UnexpectedServerResponse", "message": why, "field": "patch"}]},
    )
