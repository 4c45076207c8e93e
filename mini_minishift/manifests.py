"""Apply manifests to a server, custom resource definitions included."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from mini_minishift.rest import ApiError, Object, RestClient


def read(manifest: Path | str | Object) -> list[Object]:
    """Return the objects of a YAML file, or of a dict. The items of a List are returned each on its own."""
    if isinstance(manifest, dict):
        documents = [manifest]
    else:
        import yaml

        documents = [document for document in yaml.safe_load_all(Path(manifest).read_text()) if document is not None]
    objects = [each for document in documents for each in _items(document)]
    for obj in objects:
        if not isinstance(obj, dict) or not {"apiVersion", "kind", "metadata"} <= obj.keys():
            raise ValueError(f"{manifest} holds something without apiVersion, kind or metadata: {obj}")
    return objects


def _items(document: Object) -> list[Object]:
    is_list = isinstance(document, dict) and str(document.get("kind")).endswith("List") and "items" in document
    return list(document["items"]) if is_list else [document]


def apply(rest: RestClient, obj: Object) -> Object:
    """Create an object, or replace the one with its name."""
    collection = _collection(rest, obj)
    try:
        made = rest.request("POST", collection, obj)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
        path = f"{collection}/{quote(obj['metadata']['name'])}"
        version = rest.request("GET", path)["metadata"]["resourceVersion"]
        made = rest.request("PUT", path, {**obj, "metadata": {**obj["metadata"], "resourceVersion": version}})
    return _established(rest, collection, made) if obj["kind"] == "CustomResourceDefinition" else made


def _collection(rest: RestClient, obj: Object) -> str:
    version = obj["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    for resource in rest.request("GET", root)["resources"]:
        if resource["kind"] == obj["kind"] and "/" not in resource["name"]:
            where = f"/namespaces/{obj['metadata'].get('namespace', 'default')}" if resource["namespaced"] else ""
            return f"{root}{where}/{resource['name']}"
    raise ApiError({"code": 404, "message": f"the server has no kind {obj['kind']} in {version}"})


def _established(rest: RestClient, collection: str, definition: Object) -> Object:
    """Wait until objects of a CustomResourceDefinition can be created; return the definition as it is then."""
    name = definition["metadata"]["name"]
    for event in rest.watch(f"{collection}?watch=true&fieldSelector=metadata.name%3D{name}"):
        found: Object = event["object"]
        conditions = {each["type"]: each for each in found.get("status", {}).get("conditions") or ()}
        if conditions.get("Established", {}).get("status") == "True":
            return found
        if conditions.get("NamesAccepted", {}).get("status") == "False":
            why = conditions["NamesAccepted"].get("message")
            raise ApiError({"code": 409, "message": f"the names of {name} are not accepted: {why}"})
    raise ApiError({"code": 504, "message": f"the server ended the watch before {name} was established"})
