"""Strategic merge patch: a merge patch that also merges lists, item by item.

JSON merge patch replaces lists as a whole, so that a patch of one container would have to name all of them. Here the
schema says which lists are merged (x-kubernetes-patch-strategy: ``Array.merge``) and which field of an item is its
identity (x-kubernetes-patch-merge-key: ``Array.merge_key``; scalars are their own identity). Other lists are replaced.

Members of the patch whose names begin with a dollar are directives:

    $patch: replace                 in an object: the patch replaces it, instead of being merged into it;
                                    in an item of a list: the patch's items replace the whole list
    $patch: delete                  in an object: empties it; in an item: deletes the item with the same merge key
    $retainKeys: [a, b]             deletes all other members of the object
    $setElementOrder/<list>: […]    the order of the items, as merge keys or scalars
    $deleteFromPrimitiveList/<list>: […]    items to delete from a list of scalars

The items of a merged list that the patch (or $setElementOrder) names are in its order. The server's other items keep
theirs: each stands before the first item of the patch that it preceded on the server.

Upstream: apimachinery/pkg/util/strategicpatch, and sig-api-machinery/strategic-merge-patch.md in kubernetes/community.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from apiserver.patch.json import unprocessable
from apiserver.schema.tree import Array, SchemaNode, Struct
from machinery.errors import BadRequest, quote
from machinery.goformat import go_value
from machinery.objects import Object

_PATCH = "$patch"
_RETAIN_KEYS = "$retainKeys"
_SET_ORDER = "$setElementOrder/"
_DELETE_FROM = "$deleteFromPrimitiveList/"

_List = list[Any]


def strategic_merge(original: Object, patch: Object, node: SchemaNode | None) -> Object:
    """Return the original changed by a patch; both arguments may be modified. Raises BadRequest or Invalid."""
    if _PATCH in patch:
        return _directed(patch)
    _retain_keys(original, patch)
    _order_lists(original, patch, node)
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList"):
            _delete_from(original, key, value)
        elif value is None:
            original.pop(key, None)
        elif key not in original:
            original[key] = _added(value)
        else:
            original[key] = _merged(original[key], value, node, key)
    return original


def _merged(old: Any, new: Any, parent: SchemaNode | None, key: str) -> Any:
    child = parent.child(key) if parent is not None else None
    if isinstance(old, dict) and isinstance(new, dict):
        if isinstance(parent, Struct) and key in parent.replaced:
            return new
        return strategic_merge(old, new, child)
    if isinstance(old, list) and isinstance(new, list) and isinstance(child, Array) and child.merge:
        return _merge_lists(old, new, child)
    return new


def _directed(patch: Object) -> Object:
    directive = patch.pop(_PATCH)
    if directive == "replace":
        return dict(_added(patch))
    if directive == "delete":
        return {}
    raise BadRequest(f"unknown patch type: {go_value(directive)} in map: {go_value(patch)}")


def _added(value: Any) -> Any:
    """Return the value that a patch adds where there was none, without nulls and directives: these do nothing there."""
    if isinstance(value, dict):
        if value.get(_PATCH) == "delete":
            return {}
        return {
            key: _added(child)
            for key, child in value.items()
            if child is not None
            and key not in (_PATCH, _RETAIN_KEYS)
            and not key.startswith((_SET_ORDER, _DELETE_FROM))
        }
    if isinstance(value, list):
        return [_added(item) for item in value if not (isinstance(item, dict) and _PATCH in item)]
    return value


def _retain_keys(original: Object, patch: Object) -> None:
    if _RETAIN_KEYS not in patch:
        return
    retained = patch.pop(_RETAIN_KEYS)
    if not isinstance(retained, list) or not all(isinstance(key, str) for key in retained):
        raise BadRequest("Invalid patch format of retainKeys")
    retained = frozenset(retained)
    for key, value in patch.items():
        if value is not None and not key.startswith("$") and key not in retained:
            raise BadRequest("Invalid patch format of retainKeys")
    for key in [key for key in original if key not in retained]:
        del original[key]


def _delete_from(original: Object, directive: str, values: Any) -> None:
    key = directive.removeprefix(_DELETE_FROM)
    if not directive.startswith(_DELETE_FROM) or not isinstance(values, list):
        raise BadRequest("Invalid patch format of primitive list")
    if isinstance(original.get(key), list):
        gone = set(map(_hashable, values))
        original[key] = [value for value in original[key] if _hashable(value) not in gone]


def _order_lists(original: Object, patch: Object, node: SchemaNode | None) -> None:
    """Merge and order the lists for which the patch has a ``$setElementOrder``, and remove both from the patch."""
    for directive in [key for key in patch if key.startswith("$setElementOrder")]:
        order = patch.pop(directive)
        key = directive.removeprefix(_SET_ORDER)
        if not directive.startswith(_SET_ORDER) or not isinstance(order, list):
            raise BadRequest("Invalid patch format of setElementOrder list")
        old, new = original.get(key), patch.get(key)
        if (old is not None and not isinstance(old, list)) or (new is not None and not isinstance(new, list)):
            raise BadRequest("Invalid patch format of setElementOrder list")
        if old is None and new is None:
            continue
        array = node.child(key) if node is not None else None
        if not isinstance(array, Array):
            raise BadRequest(f"unable to find api field for the json field {quote(key)}, which the patch orders")
        patch.pop(key, None)
        _check_order(new or [], order, array.merge_key)
        server_order = list(old or ())
        if old is None:
            merged = _added(new)
        elif new is None:
            merged = old
        else:
            merged = _merge_lists(old, new, array) if array.merge else new
        original[key] = _in_order(merged, order, server_order, array.merge_key)


def _check_order(items: _List, order: _List, merge_key: str) -> None:
    """Raise BadRequest unless the patch's items, but for deletions, are in the order list, in the same order."""
    if not items or not order:
        return
    wanted = iter(_identity(item, merge_key) for item in order)
    for item in items:
        if isinstance(item, dict) and _PATCH in item:
            continue
        identity = _identity(item, merge_key)
        if not any(identity == other for other in wanted):
            given, wanted_order = go_value(items), go_value(order)
            raise BadRequest(
                f"The order in patch list:\n{given}\n doesn't match $setElementOrder list:\n{wanted_order}\n"
            )


def _merge_lists(old: _List, new: _List, array: Array) -> _List:
    items = [*old, *new]
    if not items:
        return old
    if any(isinstance(item, list) for item in items):
        raise unprocessable("lists of lists are not supported")
    kinds = {type(item) for item in items}
    if len(kinds) > 1:
        raise BadRequest(f"list element types are not identical: {go_value([old, new])}")
    server_order = list(old)
    if kinds != {dict}:
        return _in_order(list(dict.fromkeys(items)), new, server_order, "")
    if not array.merge_key:
        raise BadRequest("cannot merge lists without merge key for type map")
    old, new = _special_elements(old, new, array.merge_key)
    merged = _merge_elements(old, new, array)
    return _in_order(merged, new, server_order, array.merge_key)


def _special_elements(old: _List, new: _List, merge_key: str) -> tuple[_List, _List]:
    """Carry out the items that are directives; return the list as it then is, and the items to merge into it."""
    plain: _List = []
    gone: set[Any] = set()
    replace = False
    for item in new:
        directive = item.get(_PATCH)
        if directive is None:
            plain.append(item)
        elif directive == "delete":
            gone.add(_hashable(_identity(item, merge_key)))
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise BadRequest("merging lists cannot yet be specified in the patch")
        else:
            raise BadRequest(f"unknown patch type: {go_value(directive)} in map: {go_value(item)}")
    if replace:
        return [_added(item) for item in plain], []
    return [item for item in old if _hashable(item.get(merge_key)) not in gone] if gone else old, plain


def _merge_elements(old: _List, new: _List, array: Array) -> _List:
    merged = list(old)
    places = {_hashable(item.get(array.merge_key)): index for index, item in reversed(list(enumerate(merged)))}
    for item in new:
        identity = _hashable(_identity(item, array.merge_key))
        if identity in places:
            index = places[identity]
            merged[index] = strategic_merge(merged[index], item, array.item)
        else:
            places[identity] = len(merged)
            merged.append(_added(item))
    return merged


def _in_order(merged: _List, order: _List, server_order: _List, merge_key: str) -> _List:
    """Return the items in the order of ``order``, with the others between them as the module says."""
    rank = _ranks(order, merge_key)
    server_rank = _ranks(server_order, merge_key)

    def place(item: Any) -> Any:
        return _hashable(_identity(item, merge_key))

    patched = sorted((item for item in merged if place(item) in rank), key=lambda item: rank[place(item)])
    others = sorted(
        (item for item in merged if place(item) not in rank), key=lambda item: server_rank.get(place(item), -1)
    )
    result: _List = []
    waiting = deque(others)
    for item in patched:
        here = server_rank.get(place(item))
        while waiting and here is not None and server_rank.get(place(waiting[0]), here) < here:
            result.append(waiting.popleft())
        result.append(item)
    return [*result, *waiting]


def _ranks(items: _List, merge_key: str) -> dict[Any, int]:
    """Return identity → the first index at which an item has it."""
    ranks: dict[Any, int] = {}
    for index, item in enumerate(items):
        ranks.setdefault(_hashable(_identity(item, merge_key)), index)
    return ranks


def _identity(item: Any, merge_key: str) -> Any:
    if not merge_key:
        return item
    if not isinstance(item, dict):
        raise BadRequest(f"expected a map with the merge key {merge_key}, but received {go_value(item)}")
    if merge_key not in item:
        raise BadRequest(f"map: {go_value(item)} does not contain declared merge key: {merge_key}")
    return item[merge_key]


def _hashable(value: Any) -> Any:
    # In a dict, Python takes 1, 1.0 and True for one key, and does not take a list at all.
    return (type(value), value) if isinstance(value, str | int | float) else repr(value)
