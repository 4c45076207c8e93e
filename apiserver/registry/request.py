"""What one request is, once its path is parsed and its user is known: a ``Call``, and a request to admission.

``api/app.py`` makes a ``Call`` of every resource request; ``api/resources.py`` serves the verbs. What a subresource
does beyond them is its row's own function (``kinds/subresources/``) or a handler found by (resource, subresource), for
what streams bytes (``streaming/handlers.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from apiserver import managedfields
from apiserver.managedfields import Writer
from apiserver.model.kind import Kind
from apiserver.model.reader import Reader
from apiserver.model.user import User
from apiserver.storage.protocol import Entry
from machinery.objects import Object

if TYPE_CHECKING:
    from apiserver.registry.rest import Rest


@dataclass
class AdmissionRequest:
    """What admission plugins see (upstream: admission.Attributes); ``object`` may be changed in ``admit``."""

    operation: str  # CREATE, UPDATE, DELETE or CONNECT
    kind: Kind
    namespace: str
    name: str
    subresource: str
    user: User
    object: Object | None  # None on DELETE
    old: Object | None  # None on CREATE
    reader: Reader
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)
    # Other objects that the transaction replaces which writes this one; set by ``validate``, each time anew.
    swaps: Sequence[Entry] = ()


class AdmissionPlugin(Protocol):
    """What the verbs ask of each admission plugin; see ``admission/plugin.py``."""

    def handles(self, request: AdmissionRequest) -> bool: ...

    def admit(self, request: AdmissionRequest) -> None: ...

    def validate(self, request: AdmissionRequest) -> None: ...


@dataclass
class Call:
    """One resource request on its way to a verb or a subresource handler."""

    verb: str  # get, list, watch, create, update, patch, delete, deletecollection
    kind: Kind
    version: str  # the version asked for; differs from kind.version for also_served ones
    namespace: str
    name: str
    subresource: str
    user: User
    query: Mapping[str, str]  # the first value of each query parameter
    environ: dict[str, Any]
    rest: Rest
    subpath: str = ""  # what follows /proxy
    warnings: list[str] = field(default_factory=list)
    _body: Callable[[], bytes] = lambda: b""
    visible: Callable[[Object], bool] | None = None  # which objects a list or watch may show; None is all
    _sent: bytes | None = None

    @property
    def body(self) -> bytes:
        """The request's body, read once with the limit that upstream has (3 MiB).

        No cached_property: before Python 3.12 its lock is everybody's, and all would wait for one slow client.
        """
        if self._sent is None:
            self._sent = self._body()
        return self._sent

    @property
    def content_type(self) -> str:
        """The body's media type, without parameters, in lower case; JSON when the client does not say."""
        text: str = self.environ.get("CONTENT_TYPE") or "application/json"
        return text.partition(";")[0].strip().lower()

    @property
    def field_validation(self) -> str:
        """Strict, Warn or Ignore (Warn when the client does not say)."""
        return self.query.get("fieldValidation") or "Warn"

    @property
    def dry_run(self) -> bool:
        """Nothing is to be stored; ``options`` has checked that nothing else than ``All`` is asked for."""
        return "dryRun" in self.query

    @property
    def writer(self) -> Writer:
        """In whose name the request writes fields."""
        given, user_agent = self.query.get("fieldManager", ""), self.environ.get("HTTP_USER_AGENT", "")
        return Writer(managedfields.manager_name(given, user_agent), self.version, self.subresource)
