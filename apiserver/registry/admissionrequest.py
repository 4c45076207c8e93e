"""What admission is asked about a write, and what the verbs need of the chain of plugins (``admission/chain.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from apiserver.model.kind import Kind
from apiserver.model.reader import Reader
from apiserver.model.user import User
from apiserver.registry.writerequest import WriteRequest
from apiserver.storage.protocol import Entry
from machinery.objects import Object


@dataclass(frozen=True)
class AdmissionRequest:
    """What admission plugins see (upstream: admission.Attributes). Only ``admit`` may change ``object``, in place."""

    operation: str  # CREATE, UPDATE, DELETE or CONNECT
    write: WriteRequest
    object: Object | None  # None on DELETE
    old: Object | None  # None on CREATE
    reader: Reader
    # Those of this attempt. They reach ``write.warnings`` once it succeeds: a write may be tried several times.
    warnings: list[str] = field(default_factory=list)

    @property
    def new(self) -> Object:
        """The object of a CREATE or UPDATE."""
        assert self.object is not None
        return self.object

    @property
    def kind(self) -> Kind:
        return self.write.kind

    @property
    def resource(self) -> str:
        """The kind's resource, by which a plugin knows the kinds that it is about."""
        return self.write.kind.resource

    @property
    def namespace(self) -> str:
        return self.write.namespace

    @property
    def name(self) -> str:
        """The object's name; empty on a CREATE with ``generateName``."""
        return self.write.name

    @property
    def subresource(self) -> str:
        return self.write.subresource

    @property
    def user(self) -> User:
        return self.write.user

    @property
    def dry_run(self) -> bool:
        return self.write.dry_run


class Swap(NamedTuple):
    """Another object that the transaction of a write replaces, if it is still at the revision of the entry."""

    kind: Kind
    entry: Entry


class Admission(Protocol):
    """The chain of plugins, as the verbs call it. Every method may raise an ApiError."""

    def admit(self, request: AdmissionRequest) -> None:
        """Let the plugins fill in the object, before it is validated."""

    def guard(self, request: AdmissionRequest) -> AbstractContextManager[None]:
        """Return what must be held from ``validate`` until a new object is stored: a lock of the namespace's quotas."""

    def validate(self, request: AdmissionRequest) -> Sequence[Swap]:
        """Let the plugins refuse the finished object; return what the transaction that stores it must replace."""
