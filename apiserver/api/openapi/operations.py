"""List the operations that the rows of the registry serve, in a form that both versions of OpenAPI are written from.

Paths, operation ids and the ``x-kubernetes-action`` are upstream's: clients generate code from them, and kubectl looks
here for the parameters of a kind's PATCH (``dryRun``, ``fieldValidation``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from apiserver.api.openapi.definitions import STATUS, list_definition, versioned
from apiserver.model.kind import Kind, Subresource

DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
PATCH = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch"
JSON_TYPES = ("application/json", "application/yaml")
WATCH_TYPE = "application/json;stream=watch"


class Parameter(NamedTuple):
    """A parameter in the path or the query."""

    name: str
    type: str
    description: str
    place: str = "query"


class GroupVersionKind(NamedTuple):
    """The group, version and kind of an operation's objects."""

    group: str
    version: str
    kind: str


class Operation(NamedTuple):
    """One method of one path; ``body`` and the responses name definitions, "" is a plain string."""

    method: str
    id: str
    action: str
    description: str
    tag: str
    gvk: GroupVersionKind | None = None
    parameters: tuple[Parameter, ...] = ()
    body: str = ""
    body_required: bool = True
    consumes: tuple[str, ...] = ("*/*",)
    produces: tuple[str, ...] = JSON_TYPES
    responses: tuple[tuple[str, str, str], ...] = ()  # code, description, definition


class Path(NamedTuple):
    """A path with the parameters that all of its operations share."""

    path: str
    parameters: tuple[Parameter, ...]
    operations: tuple[Operation, ...]


_PRETTY = Parameter("pretty", "string", "If 'true', the answer is indented.")
_NAMESPACE = Parameter("namespace", "string", "The namespace of the object.", "path")
_PATH = Parameter("path", "string", "The path on the server that is connected to.", "path")
_DRY_RUN = Parameter("dryRun", "string", "With 'All', everything is done but the storing.")
_FIELD_MANAGER = Parameter("fieldManager", "string", "The name of the actor that makes the change.")
_FIELD_VALIDATION = Parameter(
    "fieldValidation",
    "string",
    "What unknown and duplicate fields lead to: 'Ignore' drops them, 'Warn' (the default) also sends a warning for "
    "each, 'Strict' refuses the request.",
)
_FORCE = Parameter("force", "boolean", "Only for apply patches: takes over fields that others manage.")
_WRITE = (_DRY_RUN, _FIELD_MANAGER, _FIELD_VALIDATION)
_LIST = (
    Parameter("allowWatchBookmarks", "boolean", "A watch may also get events of type BOOKMARK."),
    Parameter("continue", "string", "The token with which the previous part of a list ended."),
    Parameter("fieldSelector", "string", "Only objects whose fields match."),
    Parameter("labelSelector", "string", "Only objects whose labels match."),
    Parameter("limit", "integer", "The most objects that one answer holds."),
    Parameter("resourceVersion", "string", "The version that the answer is at, or may not be older than."),
    Parameter("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
    Parameter("sendInitialEvents", "boolean", "A watch begins with the objects that exist."),
    Parameter("timeoutSeconds", "integer", "Ends the list or watch after this time."),
    Parameter("watch", "boolean", "Answers with a stream of changes instead of a list."),
)
_DELETE = (
    _DRY_RUN,
    Parameter("gracePeriodSeconds", "integer", "The time that the object gets to end; zero deletes it at once."),
    Parameter("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
    Parameter("propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."),
)

# HTTP methods and verbs of resources: verb → (method, action).
_ITEM = {"get": ("get", "get"), "update": ("put", "put"), "patch": ("patch", "patch"), "delete": ("delete", "delete")}
_ID_OF_METHOD = {"get": "read", "put": "replace", "patch": "patch", "delete": "delete", "post": "create"}


def paths(kinds: Iterable[Kind], only: tuple[str, str] | None = None) -> Iterator[Path]:
    """Yield the paths of all versions of the rows, or of one group version, in the order of discovery."""
    for kind in kinds:
        for version in kind.versions:
            if only is None or only == (kind.group, version):
                yield from _Rows(kind, version).paths()


def root(group: str, version: str) -> str:
    """Return ``/api/v1`` or ``/apis/<group>/<version>``."""
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


def _camel(text: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in text.split("."))


class _Rows:
    """The paths of one version of one row."""

    def __init__(self, kind: Kind, version: str) -> None:
        self.kind = kind
        self.version = version
        group = kind.group.removesuffix(".k8s.io").removesuffix(".authorization") or "core"
        name = _camel(group)
        self.tag = f"{name[:1].lower()}{name[1:]}_{version}"
        self.prefix = f"{name}{_camel(version)}"
        self.gvk = GroupVersionKind(kind.group, version, kind.kind)
        self.definition = versioned(kind, version)
        self.root = root(kind.group, version)
        self.scope = "Namespaced" if kind.namespaced else ""
        self.collection = f"{self.root}/{'namespaces/{namespace}/' if kind.namespaced else ''}{kind.plural}"
        self.shared = (_NAMESPACE, _PRETTY) if kind.namespaced else (_PRETTY,)
        self.name = Parameter("name", "string", f"The name of the {kind.kind}.", "path")

    def paths(self) -> Iterator[Path]:
        collection = tuple(self._collection())
        if collection:
            yield Path(self.collection, self.shared, collection)
        if self.kind.namespaced and "list" in self.kind.verbs:
            operation = self._list(f"list{self.prefix}{self.kind.kind}ForAllNamespaces")
            yield Path(f"{self.root}/{self.kind.plural}", (_PRETTY,), (operation,))
        item = tuple(self._item())
        if item:
            yield Path(f"{self.collection}/{{name}}", (self.name, *self.shared), item)
        for subresource in self.kind.subresources:
            yield from self._subresource(subresource)

    def _collection(self) -> Iterator[Operation]:
        kind, scope = self.kind.kind, self.scope
        if "list" in self.kind.verbs:
            yield self._list(f"list{self.prefix}{scope}{kind}")
        if "create" in self.kind.verbs:
            yield self._operation("post", f"create{self.prefix}{scope}{kind}", "post", f"create a {kind}")._replace(
                parameters=_WRITE, body=self.definition, responses=_responses(self.definition, "200", "201", "202")
            )
        if "deletecollection" in self.kind.verbs:
            id, what = f"delete{self.prefix}Collection{scope}{kind}", f"delete collection of {kind}"
            selecting = (parameter for parameter in _LIST if parameter.name not in ("allowWatchBookmarks", "watch"))
            yield self._operation("delete", id, "deletecollection", what)._replace(
                parameters=(*_DELETE, *selecting),
                body=DELETE_OPTIONS,
                body_required=False,
                responses=_responses(STATUS, "200"),
            )

    def _operation(self, method: str, id: str, action: str, description: str) -> Operation:
        return Operation(method, id, action, description, self.tag, self.gvk)

    def _list(self, id: str) -> Operation:
        return self._operation("get", id, "list", f"list or watch objects of kind {self.kind.kind}")._replace(
            parameters=_LIST,
            produces=(*JSON_TYPES, WATCH_TYPE),
            responses=_responses(list_definition(self.kind, self.version), "200"),
        )

    def _item(self) -> Iterator[Operation]:
        for verb, (method, action) in _ITEM.items():
            if verb in self.kind.verbs:
                yield self._single(method, action, self.definition, self.gvk, "", self.kind.kind)

    def _single(
        self, method: str, action: str, definition: str, gvk: GroupVersionKind, suffix: str, what: str
    ) -> Operation:
        id = f"{_ID_OF_METHOD[method]}{self.prefix}{self.scope}{self.kind.kind}{suffix}"
        operation = self._operation(method, id, action, f"{_ID_OF_METHOD[method]} the {what}")._replace(gvk=gvk)
        codes = {"get": ("200",), "post": ("200", "201", "202"), "put": ("200", "201"), "patch": ("200", "201")}
        match method:
            case "get":
                return operation._replace(responses=_responses(definition, "200"))
            case "delete":
                return operation._replace(
                    parameters=_DELETE,
                    body=DELETE_OPTIONS,
                    body_required=False,
                    responses=_responses(STATUS, "200", "202"),
                )
            case "patch":
                return operation._replace(
                    parameters=(*_WRITE, _FORCE),
                    body=PATCH,
                    consumes=self.kind.codec.patch_types,
                    responses=_responses(definition, *codes[method]),
                )
        return operation._replace(parameters=_WRITE, body=definition, responses=_responses(definition, *codes[method]))

    def _subresource(self, subresource: Subresource) -> Iterator[Path]:
        path = f"{self.collection}/{{name}}/{subresource.name}"
        gvk, definition = self.gvk, self.definition
        if subresource.kind:
            gvk = GroupVersionKind(subresource.group, subresource.version, subresource.kind)
            definition = subresource.definition
        suffix = subresource.name[:1].upper() + subresource.name[1:]
        what = f"{subresource.name} of the {self.kind.kind}"
        if subresource.kind.endswith("Options"):
            operations = tuple(self._connect(verb, gvk, suffix) for verb in subresource.verbs)
        elif subresource.text:
            operation = self._single("get", "get", "", gvk, suffix, what)
            operations = (operation._replace(produces=("text/plain", *JSON_TYPES)),)
        else:
            methods = {"create": ("post", "post"), **_ITEM}
            operations = tuple(
                self._single(*methods[verb], definition, gvk, suffix, what) for verb in subresource.verbs
            )
        yield Path(path, (self.name, *self.shared), operations)
        if subresource.subpaths:
            below = tuple(operation._replace(id=f"{operation.id}WithPath") for operation in operations)
            yield Path(f"{path}/{{path}}", (self.name, _PATH, *self.shared), below)

    def _connect(self, verb: str, gvk: GroupVersionKind, suffix: str) -> Operation:
        method = {"create": "post", "update": "put"}.get(verb, verb)
        id = f"connect{self.prefix}{method.capitalize()}{self.scope}{self.kind.kind}{suffix}"
        what = f"connect {method.upper()} requests to {suffix.lower()} of {self.kind.kind}"
        return self._operation(method, id, "connect", what)._replace(
            gvk=gvk, produces=("*/*",), responses=_responses("", "200")
        )


_CODES = {"200": "OK", "201": "Created", "202": "Accepted"}


def _responses(definition: str, *codes: str) -> tuple[tuple[str, str, str], ...]:
    return (*((code, _CODES[code], definition) for code in codes), ("401", "Unauthorized", "-"))
