"""ReplicaSets: ReplicationControllers with set-based selectors (upstream: pkg/registry/apps/replicaset)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

from apiserver.kinds.cells import NONE
from apiserver.kinds.pods.defaults import default_pod_template
from apiserver.kinds.replicationcontrollers import ReplicationControllerStrategy, replica_columns, validate_template
from apiserver.kinds.subresources import STATUS
from apiserver.kinds.subresources.scale import SCALE
from apiserver.model import checks
from apiserver.model.kind import Kind
from apiserver.schema.codec import upstream
from machinery.errors import FieldError
from machinery.objects import Object
from machinery.selectors import from_label_selector


class ReplicaSetStrategy(ReplicationControllerStrategy):
    orphan_by_default = False

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {}

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("replicas", 1)
        if spec.get("template") is not None:
            default_pod_template(spec["template"])

    def validate(self, obj: Object) -> checks.Errors:
        spec, selector = obj["spec"], obj["spec"].get("selector")
        for count in ("replicas", "minReadySeconds"):
            yield from checks.not_negative(f"spec.{count}", spec.get(count))
        wrong = list(_validate_selector(selector))
        yield from wrong
        # An invalid selector cannot be compared with the template's labels.
        yield from validate_template(obj, from_label_selector({} if wrong else selector))

    def validate_update(self, new: Object, old: Object) -> checks.Errors:
        selectors = new["spec"].get("selector"), old["spec"].get("selector")
        return chain(self.validate(new), checks.immutable("spec.selector", *selectors))


def _validate_selector(selector: Object | None) -> checks.Errors:
    if selector is None:
        yield FieldError.required("spec.selector")
        return
    yield from checks.label_selector("spec.selector", selector)
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield FieldError.invalid("spec.selector", selector, "empty selector is invalid for deployment")


REPLICA_SETS = Kind(
    *upstream("apps", "ReplicaSet"),
    short_names=("rs",),
    categories=("all",),
    subresources=(SCALE, STATUS),
    strategy=ReplicaSetStrategy(),
    columns=replica_columns(lambda obj: str(from_label_selector(obj["spec"].get("selector"))) or NONE),
)
