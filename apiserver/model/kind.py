"""A kind is a row: everything that the API server knows about one kind of object.

The registry (``kinds/rows.py``) is a list of rows. The verbs are written once for all kinds, in ``registry/``, and ask
the row for what differs: discovery and OpenAPI read its names and verbs, ``kubectl get`` its columns, the store its
prefix. A kind that is only kept needs no more than names and a schema; see ``kinds/replicationcontrollers.py`` for one
that does more.

What differs in the life of an object is a ``Strategy``, after upstream's registry strategies
(pkg/registry/*/strategy.go). A row's strategy overrides the hooks that it needs. A request calls them in this order:

create      codec.decode · default · mutating admission · prepare_create · record_creator · validate · validating
            admission · warnings · allocate · claims · the store
update      codec.decode · default · mutating admission · prepare_update · validate_update · validating admission ·
            allocate · claims · the store · warnings; a patch or an apply makes the new object from the old one first
status      the same with prepare_status_update and validate_status_update, and without warnings; another subresource
            that is the object itself (approval): with prepare_part_update and validate_part_update
delete      graceful_period · may_remove · prepare_delete, if the object is not removed at once

What a hook may do: ``default``, ``prepare_*``, ``record_creator`` and ``allocate`` change the object that they are
given, in place, which is the request's own copy; they never change ``old``, which is shared. ``validate*`` only report
what is wrong, each error with its path, and all of them at once, so that a user sees every mistake in one answer.
Hooks do no I/O: the one thing that they may ask is ``taken``, in ``allocate``. Since writes are compare-and-swap, hooks
run again from the start whenever another writer was faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from apiserver.model.item import Item
from apiserver.model.user import User
from machinery.errors import FieldError
from machinery.objects import Object
from machinery.validation import is_dns1123_subdomain


@dataclass(frozen=True)
class Column:
    """One column of the Table that ``kubectl get`` asks the server for.

    ``value`` returns the cell of one object: a str, an int or None. ``type`` and ``format`` are OpenAPI's ("string",
    "date" …). A column of ``priority`` 0 is always shown, one of priority 1 only with ``-o wide``.
    """

    name: str
    value: Callable[[Object], Any]
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""


@dataclass(frozen=True, eq=False)  # compared by identity, as kinds
class Subresource:
    """A part of an object that has a path of its own; ``kinds/subresources`` tells the sorts apart.

    ``kind``, ``group``, ``version`` and ``definition`` are those of the body; if empty, the parent's.
    """

    name: str
    verbs: tuple[str, ...]
    kind: str = ""
    group: str = ""
    version: str = ""
    definition: str = ""
    also_taken: tuple[str, ...] = ()  # other versions that the body may have, with the same schema
    show: Callable[[Object], Object] | None = None
    apply: Callable[[Object, Object], None] | None = None  # (parent to change, body); raises ApiError
    act: Callable[[Any, Object, Object], Object] | None = None  # (model.actions.Actions, parent, body) → response
    # (Config, registry.rest.Rest) → what answers a registry.call.Call with a Response
    handler: Callable[[Any, Any], Callable[[Any], Any]] | None = None
    subpaths: bool = False  # paths may follow, which belong to the server behind it
    text: bool = False  # what is read is no object but plain text
    columns: tuple[Column, ...] = ()  # of the Table, if a view has a form of its own
    # Strategy and admission check what a view writes. False for a view that writes what the strategy would restore.
    hooks: bool = True
    # Of a scale: the path of the replicas in the parent, as elements of FieldsV1.
    replicas: tuple[str, ...] = ("f:spec", "f:replicas")


_STATUS: Mapping[str, Any] = {"f:status": {}}
_SPEC: Mapping[str, Any] = {"f:spec": {}}


class Strategy:
    """What differs from kind to kind in the life of an object; see the module's docstring for the order of the hooks.

    The defaults suit a kind without spec and status. ``kinds.strategies.StatusStrategy`` suits one that has both.
    """

    # An update of, or an apply to, a name that does not exist creates the object (upstream: AllowCreateOnUpdate).
    create_on_update = False
    # An update without resourceVersion is accepted (upstream: AllowUnconditionalUpdate).
    unconditional_update = True
    # The base in generateName is cut so that the whole name fits this many characters.
    max_name_length = 253
    # The store removes an object this many seconds after its last write; 0 means never (upstream: events live an hour).
    ttl = 0
    # A deletion without propagationPolicy leaves the dependents behind (upstream: DefaultGarbageCollectionPolicy).
    orphan_by_default = False
    # A deletion that removes the object at once answers with it instead of a Status (upstream: ReturnDeletedObject).
    return_deleted = False
    # A finalizer without a domain must be one of upstream's own (upstream: pkg/apis/core/validation).
    qualified_finalizers = True

    def default(self, obj: Object) -> None:
        """Fill in upstream's defaults. Runs on every write, on stored objects too, and so must be idempotent."""

    def validate_name(self, name: str) -> list[str]:
        """Return what is wrong with ``metadata.name``, in upstream's words; most names are DNS-1123 subdomains."""
        return is_dns1123_subdomain(name)

    def prepare_create(self, obj: Object) -> None:
        """Clear what a client may not set on creation, such as the status, and set what only the server sets."""

    def record_creator(self, obj: Object, user: User) -> None:
        """Write into a new object who creates it, if the kind keeps that, as CertificateSigningRequests do."""

    def validate(self, obj: Object) -> Iterable[FieldError]:
        """Check a new object, beyond its schema and metadata, which are checked for all kinds."""
        return ()

    def prepare_update(self, new: Object, old: Object) -> None:
        """Restore from ``old`` what this request may not change, such as the status; count the generation."""

    def validate_update(self, new: Object, old: Object) -> Iterable[FieldError]:
        """Check a change: that immutable fields are as they were, and then, as by default, the whole new object."""
        return self.validate(new)

    def prepare_status_update(self, new: Object, old: Object) -> None:
        """Restore everything but the status, and what else upstream lets writers of the status change."""
        for part in ("spec", "data"):
            if part in old:
                new[part] = old[part]
            else:
                new.pop(part, None)

    def validate_status_update(self, new: Object, old: Object) -> Iterable[FieldError]:
        """Check a change of the status."""
        return ()

    def prepare_part_update(self, part: str, new: Object, old: Object) -> None:
        """Restore what a write to the subresource ``part`` may not change; by default what an update may not.

        Only subresources that are the object itself come here, such as ``approval``, and not the status.
        """
        self.prepare_update(new, old)

    def validate_part_update(self, part: str, new: Object, old: Object) -> Iterable[FieldError]:
        """Check a change through the subresource ``part``; by default as an update."""
        return self.validate_update(new, old)

    def reset_fields(self, subresource: str) -> Mapping[str, Any]:
        """Return, as FieldsV1, what a write cannot change and so does not come to own (upstream: GetResetFields)."""
        return _SPEC if subresource == "status" else _STATUS

    def warnings(self, obj: Object, before: Object | None = None) -> list[str]:
        """Return texts for ``Warning:`` headers on create (``before`` is None) and update."""
        return []

    def fields(self, obj: Object) -> Mapping[str, str]:
        """Return the field labels that field selectors may name for this kind, with this object's values.

        The generic ``metadata.name`` and ``metadata.namespace`` are added by the caller. Must return the same keys for
        every object, the empty one included, because the keys are also the list of what may be selected by.
        """
        return {}

    def claims(self, obj: Object) -> Sequence[str]:
        """Return the keys in the store that this object alone may hold: its cluster IP, its node ports.

        They are taken and given back in the very transaction that writes the object, so no value is given out twice.
        """
        return ()

    def allocate(self, obj: Object, old: Object | None, taken: Callable[[str], bool]) -> list[FieldError]:
        """Choose free claims for fields that are unset, and check those that are set.

        ``taken`` asks the store whether another object holds a claim. When another writer takes a chosen claim first,
        the store refuses the transaction, and this is called again.
        """
        return []

    def graceful_period(self, obj: Object, requested: int | None) -> int:
        """Return the seconds between a deletion request and the removal; 0 removes at once.

        ``requested`` is the client's ``gracePeriodSeconds``, None if it gave none (upstream: CheckGracefulDelete).
        """
        return 0

    def prepare_delete(self, obj: Object) -> None:
        """Change what a deletion changes besides the metadata, in the copy that gets its deletionTimestamp."""

    def may_remove(self, obj: Object) -> bool:
        """Return True if a deleted object without ``metadata.finalizers`` may go; namespaces have a second list."""
        return True


class Codec(Protocol):
    """How bodies become objects of a kind, and how these are stored, shown and described.

    There are two: ``schema.codec.UpstreamCodec`` knows a built-in kind by upstream's schema, and
    ``customresources.codec.CustomCodec`` a version of a custom resource by that of its definition.
    """

    @property
    def definition(self) -> str:
        """The schema's name in OpenAPI, e.g. ``io.k8s.api.core.v1.Pod``."""

    @property
    def node(self) -> Any:
        """The compiled schema, a ``schema.tree.SchemaNode``; managed fields and strategic merge patches go by it."""

    @property
    def dynamic(self) -> bool:
        """Whether the schema may change while objects are stored, which then need ``view`` to be shown by it.

        False promises that ``view`` and ``stored`` return what they are given.
        """

    @property
    def identity(self) -> str:
        """A hash of all that a dynamic schema depends on; "" for others."""

    @property
    def calls_out(self) -> bool:
        """Whether ``view`` and ``stored`` may call a webhook, and so take their time."""

    @property
    def typed(self) -> bool:
        """Whether items of a list leave out apiVersion and kind, as those of upstream's typed objects do."""

    @property
    def patch_types(self) -> tuple[str, ...]:
        """The media types that a PATCH may have, of those in ``model/patchtypes.py``."""

    def list_kind(self, kind: str) -> str:
        """Return the kind of a list of objects of this kind."""

    def storage_version(self, kind: Kind) -> str:
        """Return the version that objects are stored in, e.g. ``v1``."""

    def decode(
        self, kind: Kind, body: bytes, content_type: str, *, field_validation: str = "Warn", version: str = ""
    ) -> tuple[Object, list[str]]:
        """Return the object in a body, pruned and normalized, and warnings about what was dropped.

        ``version`` is the one of the path when it is not the kind's own: ``kind.convert`` then runs before the fields
        are checked. Raises BadRequest or UnsupportedMediaType with upstream's messages.
        """

    def check(self, obj: Object, *, field_validation: str = "Warn") -> tuple[Object, list[str]]:
        """Prune and normalize, in place, an object that a patch produced; return it with warnings.

        Raises Invalid, as upstream does for patches.
        """

    def view(self, item: Item) -> Item:
        """Return a stored object as this version shows it."""

    def view_all(self, items: list[Item]) -> list[Item]:
        """Return what ``view`` returns for each item."""

    def stored(self, obj: Object) -> Object:
        """Return the object in the version that it is stored in."""

    def is_stored(self, obj: Object, item: Item) -> bool:
        """Return True if writing ``obj``, which equals what ``view`` shows of ``item``, would store what is there."""

    def published(self, kind: Kind, *, v2: bool) -> Mapping[str, Any]:
        """Return the definitions that the kind adds to an OpenAPI document (v2 or v3), by name, ready to be served.

        Empty for kinds that upstream's own definitions describe.
        """


@dataclass(frozen=True, eq=False)  # rows are compared by identity: comparing all fields would take 2 µs each time
class Kind:
    """One row of the registry: one kind in its preferred version. Rows of custom resources are made from definitions.

    A row is shared by all threads and is never modified.
    """

    group: str
    version: str
    kind: str
    plural: str
    codec: Codec
    namespaced: bool = True
    singular: str = ""  # if empty, the kind in lower case
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
    subresources: tuple[Subresource, ...] = ()  # a feature may add others: features.registry_of
    columns: tuple[Column, ...] = ()  # Name and Age are added, unless the row brings its own (api/tables.py)
    strategy: Strategy = field(default_factory=Strategy)
    # Other versions of the same objects, e.g. discovery.k8s.io/v1beta1 beside v1.
    also_served: tuple[str, ...] = ()
    # Converts an object on its way in/out of an also_served version, in place: (object, version, inward).
    # Inward it runs before the schema's decoding, outward as the last step: it may use fields of the other schema.
    convert: Callable[[Object, str, bool], None] | None = None
    # The row whose objects these are, when two groups show the same ones (events.k8s.io those of the core group). They
    # are stored, defaulted, checked and named in messages as that row's; ``convert`` leads there, after the decoding by
    # this row's own schema, and back.
    stored_as: Kind | None = None
    # Nothing is stored: a function in streaming/ works the objects out for each get and list.
    computed: bool = False
    # A text for a ``Warning:`` header in the answer to every request for the kind.
    deprecated: str = ""
    # Nothing but reading is possible: why, as a sentence for the errors. A deletion finds that there is no such object.
    missing: str = ""
    # The kind is about to be served no longer: discovery names none of the verbs that create or change.
    terminating: bool = False

    def subresource(self, name: str) -> Subresource | None:
        """Return the row of one of the subresources, None if there is none of this name."""
        return next((row for row in self.subresources if row.name == name), None)

    @property
    def definition(self) -> str:
        """The schema's name in OpenAPI."""
        return self.codec.definition

    @property
    def list_kind(self) -> str:
        """The kind of a list of them."""
        return self.codec.list_kind(self.kind)

    @cached_property
    def api_version(self) -> str:
        """``v1`` for the core group, otherwise ``group/version``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def versions(self) -> tuple[str, ...]:
        """All served versions, the preferred one first."""
        return (self.version, *self.also_served)

    @cached_property
    def prefix(self) -> str:
        """What the keys of all objects begin with: ``/registry/[group/]plural/``; ``[namespace/]name`` follows."""
        if self.stored_as is not None:
            return self.stored_as.prefix
        return f"/registry/{self.group}/{self.plural}/" if self.group else f"/registry/{self.plural}/"

    def key(self, namespace: str, name: str) -> str:
        """Return where the store keeps one object."""
        return f"{self.prefix}{namespace}/{name}" if self.namespaced else self.prefix + name

    @property
    def go_type(self) -> str:
        """Upstream's internal Go type, as its messages name it: ``*core.Pod``."""
        return f"*{self.group.partition('.')[0] or 'core'}.{self.kind}"

    @cached_property
    def resource(self) -> str:
        """The resource as messages name it: ``pods`` or ``leases.coordination.k8s.io``."""
        if self.stored_as is not None:
            return self.stored_as.resource
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @cached_property
    def group_kind(self) -> str:
        """The kind's name in messages about invalid objects: ``Pod`` or ``Lease.coordination.k8s.io``."""
        if self.stored_as is not None:
            return self.stored_as.group_kind
        return f"{self.kind}.{self.group}" if self.group else self.kind

    def to_stored(self, obj: Object) -> None:
        """Bring an object of this row's own version into the form of the row that it is stored as, in place."""
        if self.stored_as is not None and self.convert is not None:
            self.convert(obj, self.version, True)
            obj["apiVersion"] = self.stored_as.api_version
