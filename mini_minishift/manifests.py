"""Applies manifests to a server, custom resource definitions included."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from mini_minishift.rest import ApiError, Object, Rest

FIELD_MANAGER = "mini-minishift-tests"


def read(manifest: Path | str | Object) -> list[Object]:
    """The objects of a YAML file, or the one that is given as a dict; a List is its items."""
    if isinstance(manifest, dict):
        objects = [manifest]
    else:
        import yaml

        objects = [obj for obj in yaml.safe_load_all(Path(manifest).read_text()) if obj]
    return [each for obj in objects for each in (obj["items"] if obj["kind"].endswith("List") else [obj])]


def apply(rest: Rest, obj: Object) -> Object:
    """Creates the object, or replaces the one of its name."""
    collection = _collection(rest, obj)
    try:
        made = rest.request("POST", collection, obj)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
        path = f"{collection}/{quote(obj['metadata']['name'])}"
        version = rest.request("GET", path)["metadata"]["resourceVersion"]
        made = rest.request("PUT", path, {**obj, "metadata": {**obj["metadata"], "resourceVersion": version}})
    if obj["kind"] == "CustomResourceDefinition":
        return _established(rest, collection, made)
    return made


def _collection(rest: Rest, obj: Object) -> str:
    version = obj["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    for resource in rest.request("GET", root)["resources"]:
        if resource["kind"] == obj["kind"] and "/" not in resource["name"]:
            namespace = obj["metadata"].get("namespace", "default")
            return (
                f"{root}/namespaces/{namespace}/{resource['name']}"
                if resource["namespaced"]
                else f"{root}/{resource['name']}"
            )
    raise ApiError({"code": 404, "message": f"the server has no kind {obj['kind']} in {version}"})


def _established(rest: Rest, collection: str, definition: Object) -> Object:
    name = definition["metadata"]["name"]
    for event in rest.watch(f"{collection}?watch=true&fieldSelector=metadata.name%3D{name}"):
        found: Object = event["object"]
        conditions = {each["type"]: each for each in found.get("status", {}).get("conditions") or ()}
        if conditions.get("Established", {}).get("status") == "True":
            return found
        refused = conditions.get("NamesAccepted", {})
        if refused.get("status") == "False":
            raise ApiError({"code": 409, "message": f"{name} is not accepted: {refused.get('message')}"})
    raise ApiError({"code": 504, "message": f"{name} was not established"})
