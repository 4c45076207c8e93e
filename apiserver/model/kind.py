"""A kind is a row: everything that the API server knows about one kind of object.

The verbs in ``registry/rest.py`` are written once and ask the row for what differs. The hooks of a
``Strategy`` are upstream's registry strategies (pkg/registry/*/strategy.go), called in this order:

create:  codec.decode → default → admission → prepare_create → validate → store
update:  codec.decode → default → admission → prepare_update → validate_update → store
status:  codec.decode → default → prepare_status_update → validate_status_update → store

Hooks change the object that they are given in place (it is the request's own copy) and report what is
wrong as FieldErrors; they do no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from apiserver.model.item import Item
from machinery.errors import FieldError
from machinery.objects import Object

if TYPE_CHECKING:
    from apiserver.model.user import User


@dataclass(frozen=True)
class Column:
    """One column of the server-side Table; ``value`` returns a str, int or None for one object.

    ``priority`` 0 is always shown, 1 only with ``-o wide``. Type and format as in OpenAPI ("string", "date" …).
    """

    name: str
    value: Callable[[Object], Any]
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""


_STATUS: Mapping[str, Any] = {"f:status": {}}
_BUT_STATUS: Mapping[str, Any] = {"f:spec": {}}


class Strategy:
    """What differs from kind to kind in the life of an object; the defaults suit a kind without spec and status."""

    # An update or apply to a name that does not exist creates the object (upstream: AllowCreateOnUpdate).
    create_on_update = False
    # An update without resourceVersion is accepted (upstream: AllowUnconditionalUpdate).
    unconditional_update = True
    # generateName's base is cut so that the result fits this many characters.
    max_name_length = 253
    # Seconds after its last write at which the store forgets an object; 0 is never (upstream: events live an hour).
    ttl = 0
    # A deletion without propagationPolicy leaves the dependents behind (upstream: DefaultGarbageCollectionPolicy).
    orphan_by_default = False
    # A deletion that removes the object at once answers with it instead of a Status (upstream: ReturnDeletedObject).
    return_deleted = False
    # A finalizer without a domain must be one of upstream's own (upstream: pkg/apis/core/validation).
    qualified_finalizers = True

    def default(self, obj: Object) -> None:
        """Fills in upstream's defaults; runs on every write, and must be idempotent."""

    def validate_name(self, name: str) -> list[str]:
        """Upstream's messages about a bad ``metadata.name``, none for a good one (DNS-1123 subdomain by default)."""
        from machinery.validation import is_dns1123_subdomain

        return is_dns1123_subdomain(name)

    def prepare_create(self, obj: Object) -> None:
        """Clears what a client may not set on creation (status), sets generation where the kind has one."""

    def record_creator(self, obj: Object, user: User) -> None:
        """Writes into a new object who creates it, where the kind keeps that."""

    def validate(self, obj: Object) -> list[FieldError]:
        """Checks a whole new object beyond its schema and metadata."""
        return []

    def prepare_update(self, new: Object, old: Object) -> None:
        """Restores what the main resource may not change (status), bumps generation when the spec changed."""

    def validate_update(self, new: Object, old: Object) -> list[FieldError]:
        """Checks a change: immutable fields, then the whole."""
        return []

    def prepare_status_update(self, new: Object, old: Object) -> None:
        """Restores everything but status (and what upstream lets status writers touch)."""
        for part in ("spec", "data"):
            if part in old:
                new[part] = old[part]
            else:
                new.pop(part, None)

    def validate_status_update(self, new: Object, old: Object) -> list[FieldError]:
        """Checks a change of status."""
        return []

    def prepare_part_update(self, part: str, new: Object, old: Object) -> None:
        """The same for a subresource that is the object itself but for ``status``; the whole, if not said otherwise."""
        self.prepare_update(new, old)

    def validate_part_update(self, part: str, new: Object, old: Object) -> list[FieldError]:
        """Checks a change through such a subresource."""
        return self.validate_update(new, old)

    def reset_fields(self, subresource: str) -> Mapping[str, Any]:
        """What a write cannot change, and so does not own, as FieldsV1 (upstream: GetResetFields)."""
        return _BUT_STATUS if subresource == "status" else _STATUS

    def warnings(self, obj: Object, before: Object | None = None) -> list[str]:
        """Texts for ``Warning:`` headers on create and update; about a write to a subresource upstream says nothing."""
        return []

    def fields(self, obj: Object) -> Mapping[str, str]:
        """The field labels that field selectors may name for this kind, with this object's values.

        The generic ``metadata.name`` and ``metadata.namespace`` are added by the caller. Must return the
        same keys for every object, the empty one included: the keys are also the list of what is selectable.
        """
        return {}

    def claims(self, obj: Object) -> Sequence[str]:
        """Cluster-unique store keys that this object owns (a VIP, a node port).

        They are taken and given back in the very transaction that writes the object: nothing is handed out twice.
        """
        return ()

    def allocate(self, obj: Object, old: Object | None, taken: Callable[[str], bool]) -> list[FieldError]:
        """Chooses free claims for the unset fields; ``taken(claim key)`` tells of others' claims.

        Called again with fresh knowledge when another writer was faster.
        """
        return []

    def graceful_period(self, obj: Object, requested: int | None) -> int:
        """Seconds between the deletion request and the removal; 0 removes at once (upstream: CheckGracefulDelete)."""
        return 0

    def prepare_delete(self, obj: Object) -> None:
        """Changes what a deletion changes beside the metadata, on the copy that gets its deletionTimestamp."""

    def may_remove(self, obj: Object) -> bool:
        """Whether a deleted object without ``metadata.finalizers`` may go (namespaces have a list of their own)."""
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
        """The schema compiled, a ``schema.nodes.Node``: managed fields and strategic merge patches go by its types."""

    @property
    def dynamic(self) -> bool:
        """Whether the schema may change while objects are stored, which then need ``view`` to be shown by it.

        False promises that ``view`` and ``stored`` return what they are given.
        """

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

    def stored(self, obj: Object) -> Object:
        """Return the object in the version that it is stored in."""

    def is_stored(self, obj: Object, item: Item) -> bool:
        """Return True if writing ``obj``, which equals what ``view`` shows of ``item``, would store what is there."""

    def published(self, kind: Kind, *, v2: bool) -> Mapping[str, Any]:
        """Return the definitions that the kind adds to an OpenAPI document (v2 or v3), by name, ready to be served.

        Empty for kinds that upstream's own definitions describe.
        """


@dataclass(frozen=True, eq=False)  # a row is itself: comparing all its fields would take 2 µs each time
class Kind:
    """One row of the registry."""

    group: str
    version: str
    kind: str
    plural: str
    codec: Codec
    namespaced: bool = True
    singular: str = ""  # lower-case kind when empty
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
    subresources: tuple[str, ...] = ()  # "status", "scale", "log" …
    columns: tuple[Column, ...] = ()  # between the generic Name and Age, unless the row brings its own
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
    # Nothing is stored: apiserver/streaming/computed.py works the objects out for each get and list.
    computed: bool = False
    # A warning that every request for it is answered with.
    deprecated: str = ""
    # Rows of subresources (``model.subresource.Subresource``) that differ from those of all other kinds, by name.
    own_subresources: Mapping[str, Any] = field(default_factory=dict)
    # The kind is about to be served no longer: discovery names none of the verbs that create or change.
    terminating: bool = False

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
        """``v1`` for the core group, ``group/version`` otherwise."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def versions(self) -> tuple[str, ...]:
        """Every served version, the preferred one first."""
        return (self.version, *self.also_served)

    @cached_property
    def prefix(self) -> str:
        """Where the store keeps the objects: ``/registry/[group/]plural/``, then ``[namespace/]name``."""
        if self.stored_as is not None:
            return self.stored_as.prefix
        return f"/registry/{self.group}/{self.plural}/" if self.group else f"/registry/{self.plural}/"

    @property
    def go_type(self) -> str:
        """Upstream's internal type, as its messages name it: ``*core.Pod``."""
        return f"*{self.group.partition('.')[0] or 'core'}.{self.kind}"

    @cached_property
    def resource(self) -> str:
        """The name used in messages: ``pods`` or ``leases.coordination.k8s.io``."""
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
        """Brings an object of this row's own version into the form that is stored, in place."""
        if self.stored_as is not None and self.convert is not None:
            self.convert(obj, self.version, True)
            obj["apiVersion"] = self.stored_as.api_version
