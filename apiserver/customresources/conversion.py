"""Convert custom resources between versions by the webhook that a definition names.

Upstream: apiextensions-apiserver pkg/apiserver/conversion, webhook_converter.go, and apiserver/pkg/util/webhook. The
webhook is called when an object is read or written in another version than the one that it is stored in, and only then.
"""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from apiserver.crdschema import numbers
from apiserver.model.addresses import is_global_unicast
from machinery.errors import InternalError, quote
from machinery.objects import Object

SECONDS = 30.0  # in which the webhook has to answer, as upstream
MOST_BYTES = 32 << 20  # of an answer
REVIEW_VERSIONS = ("v1", "v1beta1")
_GROUP = "apiextensions.k8s.io"

# Returns the Service of a namespace and name, and its Endpoints, None for what there is not.
Lookup = Callable[[str, str], tuple[Object | None, Object | None]]


class Server(NamedTuple):
    """Where a webhook is: the address to connect to, the name that its certificate must have, and the URL's path."""

    address: tuple[str, int]
    name: str
    path: str

    @property
    def url(self) -> str:
        return f"https://{self.name}:{self.address[1]}{self.path}?timeout={SECONDS:.0f}s"


class WebhookError(Exception):
    """A call that failed; the text is the part of upstream's message that says why."""


class Webhook:
    """The conversion webhook of one definition."""

    def __init__(self, conversion: Object, lookup: Lookup) -> None:
        """``conversion`` is ``spec.conversion`` of a definition that was found valid."""
        webhook = conversion["webhook"]
        self._client: Object = webhook["clientConfig"]
        self._review_version = next(each for each in webhook["conversionReviewVersions"] if each in REVIEW_VERSIONS)
        self._lookup = lookup

    def convert(self, objects: Sequence[Object], api_version: str) -> list[Object]:
        """Return these objects of one kind in another version. Raises InternalError with upstream's message."""
        first = objects[0]
        what = f"conversion webhook for {first['apiVersion']}, Kind={first['kind']}"
        try:
            answer = self._review(objects, api_version)
        except WebhookError as error:
            raise InternalError(f"{what} failed: {error}") from None
        if len(answer) != len(objects):
            raise InternalError(f"{what} returned {len(answer)} objects, expected {len(objects)}")
        try:
            return [_checked(old, new, api_version) for old, new in zip(objects, answer, strict=True)]
        except WebhookError as error:
            raise InternalError(f"{what} returned {error}") from None

    def _review(self, objects: Sequence[Object], api_version: str) -> list[Any]:
        """Return what the webhook answers for these objects. Raises WebhookError."""
        uid = str(uuid.uuid4())
        version = f"{_GROUP}/{self._review_version}"
        review = {
            "kind": "ConversionReview",
            "apiVersion": version,
            "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": list(objects)},
        }
        answer = self._post(orjson.dumps(review))
        found = f"{answer.get('apiVersion', '')}, Kind={answer.get('kind', '')}"
        if self._review_version == "v1" and found != f"{version}, Kind=ConversionReview":
            raise WebhookError(f"expected webhook response of {version}, Kind=ConversionReview, got {found}")
        response = answer.get("response")
        if not isinstance(response, dict):
            raise WebhookError("no response provided")
        if self._review_version == "v1" and response.get("uid") != uid:
            raise WebhookError(f"expected response.uid={quote(uid)}, got {quote(str(response.get('uid') or ''))}")
        result = response.get("result")
        status = result.get("status") if isinstance(result, dict) else ""
        if status != "Success":
            message = result.get("message") if isinstance(result, dict) else ""
            raise WebhookError(str(message or f"response.result.status was '{status or ''}', not 'Success'"))
        converted = response.get("convertedObjects") or []
        if not isinstance(converted, list):
            raise WebhookError("no objects provided")
        return converted

    def _post(self, body: bytes) -> Mapping[str, Any]:
        server = self._server()
        try:
            status, answer = _exchange(server, self._tls(), body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise WebhookError(f"Post {quote(server.url)}: {error}") from None
        if status >= 400:
            raise WebhookError(answer.decode(errors="replace").strip() or f"the server answered with {status}")
        try:
            found = orjson.loads(answer)
        except orjson.JSONDecodeError as error:
            raise WebhookError(f"couldn't get version/kind; json parse error: {error}") from None
        if not isinstance(found, dict):
            raise WebhookError("couldn't get version/kind; json parse error: the answer is no object")
        return found

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if bundle := base64.b64decode(self._client.get("caBundle") or "").strip():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(cadata=bundle.decode("ascii"))
        return context

    def _server(self) -> Server:
        if url := self._client.get("url"):
            parts = urlsplit(url)
            host = parts.hostname or ""
            return Server((host, parts.port or 443), host, parts.path or "/")
        reference = self._client["service"]
        namespace, name, port = reference["namespace"], reference["name"], reference.get("port", 443)
        path = f"/{(reference.get('path') or '').lstrip('/')}"
        address = endpoint(name, port, *self._lookup(namespace, name))
        return Server(address, f"{name}.{namespace}.svc", path)


def endpoint(name: str, port: int, service: Object | None, endpoints: Object | None) -> tuple[str, int]:
    """Return address and port of a ready endpoint of a Service's port. Raises WebhookError if there is none.

    Users can write endpoints, so those that are no other machine's are not taken.
    """
    if service is None:
        raise WebhookError(f"service {quote(name)} not found")
    names = [each.get("name", "") for each in service["spec"].get("ports") or () if each["port"] == port]
    if not names:
        raise WebhookError(f"no service port {port} found for service {quote(name)}")
    for subset in (endpoints or {}).get("subsets") or ():
        ports = [each["port"] for each in subset.get("ports") or () if each.get("name", "") == names[0]]
        addresses = [each["ip"] for each in subset.get("addresses") or () if is_global_unicast(each["ip"])]
        if ports and addresses:
            return addresses[0], ports[0]
    raise WebhookError(f"no endpoints available for service {quote(name)}")


def _exchange(server: Server, tls: ssl.SSLContext, body: bytes) -> tuple[int, bytes]:
    """Send a request and return status and body of the answer. Raises OSError, HTTPException or ValueError."""
    with socket.create_connection(server.address, SECONDS) as plain:
        # A server that sends a byte now and then would never meet the timeout of a single read.
        timer = threading.Timer(SECONDS, plain.shutdown, (socket.SHUT_RDWR,))
        timer.daemon = True
        timer.start()
        try:
            with tls.wrap_socket(plain, server_hostname=server.name) as encrypted:
                connection = http.client.HTTPConnection(server.name, server.address[1])
                connection.sock = encrypted
                headers = {"Content-Type": "application/json", "Accept": "application/json", "Connection": "close"}
                connection.request("POST", f"{server.path}?timeout={SECONDS:.0f}s", body, headers)
                answer = connection.getresponse()
                content = answer.read(MOST_BYTES + 1)
        finally:
            timer.cancel()
    if len(content) > MOST_BYTES:
        raise ValueError(f"the answer is larger than {MOST_BYTES} bytes")
    return answer.status, content


def _checked(old: Object, new: Any, api_version: str) -> Object:
    """Return a converted object with the metadata of the original, labels and annotations excepted."""
    if not isinstance(new, dict):
        raise WebhookError("invalid object: it is no object")
    for field, wanted in (("groupVersion", api_version), ("kind", old["kind"])):
        found = new.get("apiVersion" if field == "groupVersion" else field)
        if found != wanted:
            raise WebhookError(f"invalid object at index 0: invalid {field} (expected {wanted}, received {found})")
    metadata = new.get("metadata")
    if not isinstance(metadata, dict):
        raise WebhookError("invalid metadata: missing metadata in converted object")
    for field, title in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        before, after = old["metadata"].get(field, ""), metadata.get(field) or ""
        if before != after:
            raise WebhookError(f"invalid object: must have the same {title}: {before} != {after}")
    kept = {name: value for name, value in old["metadata"].items() if name not in ("labels", "annotations")}
    for field in ("labels", "annotations"):
        given = metadata.get(field)
        if given is None:
            continue
        if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
            raise WebhookError(f"invalid metadata: invalid metadata.{field} in converted object")
        kept[field] = given
    numbers.normalize(new)
    return {**new, "metadata": kept}
