"""``scale``: an object's replicas in one form for all kinds that have any (upstream: ScaleREST)."""

from __future__ import annotations

from apiserver.kinds.subresources import READ_WRITE, body
from apiserver.model import checks
from apiserver.model.kind import Column, Subresource
from machinery.errors import invalid
from machinery.objects import Object
from machinery.selectors import Selector, from_label_selector, from_map

API_VERSION, KIND = "autoscaling/v1", "Scale"
COLUMNS = (
    Column(
        "Desired",
        lambda scale: scale["spec"]["replicas"],
        "integer",
        description="replicas is the desired number of instances for the scaled object.",
    ),
    Column(
        "Available",
        lambda scale: scale["status"]["replicas"],
        "integer",
        description="replicas is the actual number of observed instances of the scaled object.",
    ),
)
_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def show(obj: Object) -> Object:
    """Return an object's Scale."""
    replicas = obj.get("status", {}).get("replicas", 0)
    return shown(obj, obj["spec"].get("replicas", 0), replicas, str(_selector(obj)))


def shown(obj: Object, wanted: int, replicas: int, selector: str) -> Object:
    """Return the Scale of an object that should have ``wanted`` replicas and has ``replicas``."""
    metadata = obj["metadata"]
    return {
        "kind": KIND,
        "apiVersion": API_VERSION,
        "metadata": {field: metadata[field] for field in _METADATA if field in metadata},
        "spec": {"replicas": wanted},
        "status": {"replicas": replicas, "selector": selector},
    }


def _selector(obj: Object) -> Selector:
    selector = obj["spec"].get("selector")
    # A ReplicationController has a map of labels; all other kinds have a LabelSelector.
    return from_map(selector) if obj["apiVersion"] == "v1" else from_label_selector(selector)


def resize(obj: Object, scale: Object) -> None:
    """Set an object's replicas to those of a Scale; raises Invalid if they are negative."""
    replicas = scale.get("spec", {}).get("replicas", 0)
    if errors := list(checks.not_negative("spec.replicas", replicas)):
        raise invalid("Scale.autoscaling", obj["metadata"]["name"], errors)
    obj["spec"]["replicas"] = replicas


SCALE = Subresource("scale", READ_WRITE, *body("autoscaling", "Scale"), show=show, apply=resize, columns=COLUMNS)
