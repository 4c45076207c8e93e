"""Conversion by webhook: when it is called, what it is sent, and what becomes of its answers."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from integration.apiserver.conftest import Api

from cluster import pki

GROUP = "conversion.example.com"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SPEC = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
SCHEMA = {"type": "object", "properties": {"spec": SPEC}}


class Hook:
    """A webhook that renames ``spec.port`` of v1 to ``spec.hostPort`` of v2, and back."""

    def __init__(self, folder: Path) -> None:
        self.reviews: list[Any] = []
        self.change: Callable[[Any], Any] = lambda review: review  # of an answer
        pki.complete(folder, [pki.Role("hook", "hook", names=("127.0.0.1", "hook.tools.svc"))], pki.elliptic_key)
        self.bundle = base64.b64encode((folder / "ca.crt").read_bytes()).decode()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.reviews.append(json.loads(body))
                answer = json.dumps(hook.change(hook.answer(json.loads(body)))).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "hook.crt", folder / "hook.key")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, review: Any) -> Any:
        wanted = review["request"]["desiredAPIVersion"]
        converted = []
        for obj in review["request"]["objects"]:
            old, new = ("port", "hostPort") if wanted.endswith("v2") else ("hostPort", "port")
            spec = {new if key == old else key: value for key, value in obj["spec"].items()}
            converted.append({**obj, "apiVersion": wanted, "spec": spec})
        response = {"uid": review["request"]["uid"], "result": {"status": "Success"}, "convertedObjects": converted}
        return {"apiVersion": review["apiVersion"], "kind": "ConversionReview", "response": response}


@pytest.fixture
def hook(tmp_path: Path) -> Iterator[Hook]:
    hook = Hook(tmp_path)
    yield hook
    hook.close()


@pytest.fixture
def widgets(api: Api, namespace: str, hook: Hook) -> Iterator[str]:
    """Defines widgets, stored as v1, and returns the path of their collection with a place for the version."""
    client = {"url": f"https://127.0.0.1:{hook.port}/convert", "caBundle": hook.bundle}
    versions = [
        {"name": name, "served": True, "storage": name == "v1", "schema": {"openAPIV3Schema": SCHEMA}}
        for name in ("v1", "v2")
    ]
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": versions,
            "conversion": {
                "strategy": "Webhook",
                "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1", "v1beta1"]},
            },
        },
    }
    made = api("POST", DEFINITIONS, crd)
    assert made.code == 201, made
    revision = made.json["metadata"]["resourceVersion"]
    _until(api, revision, lambda event: "Established" in str(event["object"].get("status", {}).get("conditions")))
    yield f"/apis/{GROUP}/%s/namespaces/{namespace}/widgets"
    hook.change = lambda review: review
    gone = api("DELETE", f"{DEFINITIONS}/widgets.{GROUP}").json
    _until(api, gone["metadata"]["resourceVersion"], lambda event: event["type"] == "DELETED")


def _until(api: Api, revision: str, done: Callable[[Any], bool]) -> None:
    query = f"watch=1&fieldSelector=metadata.name=widgets.{GROUP}&resourceVersion={revision}&timeoutSeconds=20"
    with closing(api.follow(f"{DEFINITIONS}?{query}")) as events:
        assert any(done(event) for event in events)


def widget(name: str, version: str, **spec: Any) -> Any:
    return {"apiVersion": f"{GROUP}/{version}", "kind": "Widget", "metadata": {"name": name}, "spec": spec}


def test_the_webhook_is_called_when_versions_differ(api: Api, widgets: str, hook: Hook) -> None:
    v1, v2 = widgets % "v1", widgets % "v2"
    assert api("POST", v1, widget("a", "v1", port=1)).code == 201
    assert api("GET", f"{v1}/a").json["spec"] == {"port": 1}
    assert hook.reviews == [], "nothing had to be converted"
    found = api("GET", f"{v2}/a").json
    assert (found["apiVersion"], found["spec"]) == (f"{GROUP}/v2", {"hostPort": 1})
    (review,) = hook.reviews
    assert (review["apiVersion"], review["kind"]) == ("apiextensions.k8s.io/v1", "ConversionReview")
    assert review["request"]["desiredAPIVersion"] == f"{GROUP}/v2"
    assert review["request"]["objects"][0]["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]
    found["spec"]["hostPort"] = 2
    assert api("PUT", f"{v2}/a", found).json["spec"] == {"hostPort": 2}
    assert api("GET", f"{v1}/a").json["spec"] == {"port": 2}


def test_a_list_is_converted_with_one_call_and_a_watch_follows(api: Api, widgets: str, hook: Hook) -> None:
    v1, v2 = widgets % "v1", widgets % "v2"
    for number in range(3):
        assert api("POST", v1, widget(f"w{number}", "v1", port=number)).code == 201
    found = api("GET", v2).json
    assert [item["spec"] for item in found["items"]] == [{"hostPort": number} for number in range(3)]
    assert len(hook.reviews) == 1
    revision = found["metadata"]["resourceVersion"]
    with closing(api.follow(f"{v2}?watch=1&resourceVersion={revision}&timeoutSeconds=20")) as events:
        assert api("POST", v1, widget("w3", "v1", port=3)).code == 201
        assert next(events)["object"]["spec"] == {"hostPort": 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uid": "x"}, "failed: expected response.uid="),
        ({"result": {"status": "Failure", "message": "no"}}, "failed: no"),
        ({"result": {}}, "failed: response.result.status was '', not 'Success'"),
        ({"convertedObjects": []}, "returned 0 objects, expected 1"),
        ({"convertedObjects": [widget("b", "v2")]}, "returned invalid object: must have the same name: a != b"),
        (
            {"convertedObjects": [widget("a", "v1")]},
            "returned invalid object at index 0: invalid groupVersion (expected",
        ),
    ],
)
def test_answers_are_checked(api: Api, widgets: str, hook: Hook, change: Any, message: str) -> None:
    assert api("POST", widgets % "v1", widget("a", "v1", port=1)).code == 201
    hook.change = lambda review: {**review, "response": {**review["response"], **change}}
    answer = api("GET", f"{widgets % 'v2'}/a")
    assert answer.code == 500
    assert f"conversion webhook for {GROUP}/v1, Kind=Widget {message}" in answer.json["message"]


def test_metadata_is_kept_but_for_labels_and_annotations(api: Api, widgets: str, hook: Hook) -> None:
    made = api("POST", widgets % "v1", widget("a", "v1", port=1)).json

    def change(review: Any) -> Any:
        metadata = review["response"]["convertedObjects"][0]["metadata"]
        metadata |= {"labels": {"a": "b"}, "generation": 7, "creationTimestamp": "2001-01-01T00:00:00Z"}
        return review

    hook.change = change
    found = api("GET", f"{widgets % 'v2'}/a").json["metadata"]
    assert found == made["metadata"] | {"labels": {"a": "b"}, "managedFields": found["managedFields"]}


def test_a_webhook_that_is_not_there(api: Api, widgets: str, hook: Hook) -> None:
    assert api("POST", widgets % "v1", widget("a", "v1", port=1)).code == 201
    hook.close()
    answer = api("GET", f"{widgets % 'v2'}/a")
    assert answer.code == 500
    why = f'failed: Post "https://127.0.0.1:{hook.port}/convert?timeout=30s": [Errno 111] Connection refused'
    assert why in answer.json["message"]
    assert api("GET", f"{widgets % 'v1'}/a").code == 200
