"""From method and path to what is asked for (upstream: apiserver/pkg/endpoints/request/requestinfo.go).

``/api/{version}/…`` is the core group, ``/apis/{group}/{version}/…`` the others; everything else, and these paths when
they end before a resource, is no resource request.
"""

from __future__ import annotations

from typing import NamedTuple

from machinery.errors import BadRequest
from machinery.selectors import parse_field_selector
from machinery.validation import is_path_segment_name

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
# What may follow /namespaces/{name}/ and is a subresource of the namespace, not a resource in it.
_NAMESPACE_SUBRESOURCES = ("status", "finalize")


class RequestInfo(NamedTuple):
    """What a request asks for, by its method and path.

    Of a request for no resource only ``path`` and ``verb`` are set; the verb is the method in lower case.
    """

    path: str
    verb: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    subpath: str = ""  # what follows the subresource, with its slash
    selected: str = ""  # the one name that a list or watch asks for by its field selector
    field_selector: str = ""


def parse_request(method: str, path: str, *, watch: bool = False, field_selector: str = "") -> RequestInfo:
    """Return what a request asks for. ``watch`` is the flag of the query that makes a list a watch."""
    parts = path.strip("/").split("/")
    other = RequestInfo(path, method.lower())
    if parts[0] == "api" and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return other
    if path.startswith("//"):  # no path of the API begins so, whatever follows
        return other
    verb = _VERBS.get(method, method.lower())
    if method == "OPTIONS" and "proxy" in rest:  # the server behind a proxy may know this method
        verb = "get"
    # The prefix /watch is deprecated upstream, and still served. Only behind it can a GET with a name be a watch.
    old_watch = rest[0] == "watch" and len(rest) > 1
    if old_watch:
        watch, rest = True, rest[1:]
        verb = verb if verb == "get" else method.lower()
    namespace, resource, tail = "", rest[0], rest[1:]
    if resource == "namespaces" and tail and tail[0]:
        namespace = tail[0]
        if len(tail) > 1 and tail[1] not in _NAMESPACE_SUBRESOURCES:
            resource, tail = tail[1], tail[2:]
    name = tail[0] if tail else ""
    subresource = tail[1] if len(tail) > 1 else ""
    subpath = "".join("/" + part for part in tail[2:])
    if subresource == "proxy" and path.endswith("/") and subpath != "" and not subpath.endswith("/"):
        subpath += "/"
    if not name and verb == "get":
        verb = "watch" if watch and method != "HEAD" else "list"  # the answer to a HEAD has no body for events
    elif old_watch and method == "GET" and not subresource:
        verb = "watch"
    elif not name and verb == "delete":
        verb = "deletecollection"
    selected = _selected_name(field_selector) if field_selector and verb in ("list", "watch") else ""
    return RequestInfo(
        path, verb, True, group, version, namespace, resource, subresource, name, subpath, selected, field_selector
    )


def _selected_name(field_selector: str) -> str:
    """Return the one name that a field selector asks for, or "".

    An authorizer treats such a list as a get, because a role may allow an object by its name.
    """
    try:
        name = parse_field_selector(field_selector).exact("metadata.name") or ""
    except BadRequest:
        return ""  # the verb refuses the selector with its own message
    return "" if is_path_segment_name(name) else name
