"""CustomResourceDefinitions (upstream: apiextensions-apiserver pkg/registry/customresourcedefinition).

The kinds that a definition adds are served by ``apiserver/customresources``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apiserver.crdschema import definition
from apiserver.kinds.strategies import StatusStrategy, restore
from apiserver.kinds.subresources import STATUS
from apiserver.model import checks
from apiserver.model.kind import Kind
from apiserver.schema.codec import UpstreamCodec
from machinery.errors import FieldError
from machinery.objects import Object, set_condition

# The finalizer that keeps a deleted definition until its objects are gone.
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_CLAIMS = "/claims/customresourcedefinitions/"


class CustomResourceDefinitionStrategy(StatusStrategy):
    counts_generation = True
    unconditional_update = False
    qualified_finalizers = False

    def default(self, obj: Object) -> None:
        definition.default(obj)

    def prepare_create(self, obj: Object) -> None:
        obj["status"] = {"conditions": [], "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": []}
        obj["metadata"]["generation"] = 1
        _remember_storage_version(obj)

    def validate(self, obj: Object) -> checks.Errors:
        return definition.check(obj)

    def prepare_update(self, new: Object, old: Object) -> None:
        super().prepare_update(new, old)
        _remember_storage_version(new)

    def validate_update(self, new: Object, old: Object) -> checks.Errors:
        return definition.check_update(new, old)

    def prepare_status_update(self, new: Object, old: Object) -> None:
        super().prepare_status_update(new, old)
        for field in ("labels", "annotations", "ownerReferences"):
            restore(new["metadata"], field, old["metadata"])

    def validate_status_update(self, new: Object, old: Object) -> checks.Errors:
        names = new.get("status", {}).get("acceptedNames", {})
        return list(definition.check_names("status.acceptedNames", names))

    def claims(self, obj: Object) -> Sequence[str]:
        """Return a key for each accepted name, so that two definitions of a group can never both get the same name."""
        names = obj.get("status", {}).get("acceptedNames", {})
        resources = {names.get("plural"), names.get("singular"), *(names.get("shortNames", ()))}
        kinds = {names.get("kind"), names.get("listKind")}
        group = obj["spec"].get("group", "")
        claims = [f"{_CLAIMS}{group}/resources/{name}" for name in resources if name]
        return sorted(claims + [f"{_CLAIMS}{group}/kinds/{name}" for name in kinds if name])

    def allocate(self, obj: Object, old: Object | None, taken: Callable[[str], bool]) -> list[FieldError]:
        before = self.claims(old) if old else ()
        new = [claim for claim in self.claims(obj) if claim not in before]
        names = [claim.rpartition("/")[2] for claim in new if taken(claim)]
        return [FieldError.duplicate("status.acceptedNames", name) for name in names]

    def prepare_delete(self, obj: Object) -> None:
        finalizers = obj["metadata"].setdefault("finalizers", [])
        if FINALIZER in finalizers:
            return
        finalizers.append(FINALIZER)
        set_condition(
            obj,
            "Terminating",
            "True",
            "InstanceDeletionPending",
            "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        )

    def may_remove(self, obj: Object) -> bool:
        """Return False: a deletion first marks the definition, which then gets its finalizer."""
        return bool(obj["metadata"].get("deletionTimestamp"))


def _remember_storage_version(obj: Object) -> None:
    """Add the storage version to ``status.storedVersions``, where it stays until someone has rewritten all objects."""
    stored, version = obj["status"].setdefault("storedVersions", []), definition.storage_version(obj["spec"])
    if version and version not in stored:
        obj["status"]["storedVersions"] = [*stored, version]


CUSTOM_RESOURCE_DEFINITIONS = Kind(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    UpstreamCodec("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"),
    namespaced=False,
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    subresources=(STATUS,),
    strategy=CustomResourceDefinitionStrategy(),
)
