"""PodTemplates: a template of pods on its own (upstream: pkg/registry/core/podtemplate)."""

from __future__ import annotations

from apiserver.kinds.cells import NAME, label_map, names
from apiserver.kinds.pods.defaults import default_pod_template
from apiserver.kinds.pods.spec import validate_pod_template
from apiserver.kinds.pods.warnings import pod_warnings
from apiserver.model import checks
from apiserver.model.kind import Column, Kind, Strategy
from apiserver.schema.codec import upstream
from machinery.objects import Object


class PodTemplateStrategy(Strategy):
    def default(self, obj: Object) -> None:
        default_pod_template(obj.setdefault("template", {}))

    def prepare_create(self, obj: Object) -> None:
        obj["metadata"]["generation"] = 1

    def validate(self, obj: Object) -> checks.Errors:
        return validate_pod_template("template", obj["template"])

    def prepare_update(self, new: Object, old: Object) -> None:
        generation = old["metadata"].get("generation", 1)
        new["metadata"]["generation"] = generation + (new["template"] != old["template"])

    def warnings(self, obj: Object, before: Object | None = None) -> list[str]:
        if before is not None and before["template"] == obj["template"]:
            return []
        return list(pod_warnings("template.", obj["template"]))


def _containers(obj: Object) -> list[Object]:
    containers: list[Object] = obj["template"]["spec"].get("containers", [])
    return containers


POD_TEMPLATES = Kind(
    *upstream("", "PodTemplate"),
    strategy=PodTemplateStrategy(),
    columns=(
        NAME,
        Column("Containers", lambda obj: names(_containers(obj), "name")),
        Column("Images", lambda obj: names(_containers(obj), "image")),
        Column("Pod Labels", lambda obj: label_map(obj["template"]["metadata"].get("labels"))),
    ),
)
