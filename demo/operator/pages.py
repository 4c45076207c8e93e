"""An operator made with kopf: for every Page it keeps a ConfigMap with the page as HTML.

    kopf run --standalone --all-namespaces demo/operator/pages.py

It knows nothing of tests; test_pages.py runs it as it is.
"""

import html
from typing import Any

import kopf
from kubernetes import client

PAGES = "pages.demo.mini-minishift.io"


@kopf.on.create(PAGES)
def create(spec: kopf.Spec, name: str, namespace: str, patch: kopf.Patch, **_: Any) -> None:
    rendered = {"metadata": {"name": f"{name}-html"}, "data": {"index.html": render(spec)}}
    kopf.adopt(rendered)  # the page owns it: it goes when the page goes
    client.CoreV1Api().create_namespaced_config_map(namespace, rendered)
    patch.status["configMap"] = rendered["metadata"]["name"]


@kopf.on.update(PAGES, field="spec")
def update(spec: kopf.Spec, body: kopf.Body, status: kopf.Status, namespace: str, **_: Any) -> None:
    change = {"data": {"index.html": render(spec)}}
    client.CoreV1Api().patch_namespaced_config_map(status["configMap"], namespace, change)
    kopf.info(body, reason="Rendered", message=f"now {spec['title']}")


@kopf.on.delete(PAGES)
def delete(spec: kopf.Spec, name: str, namespace: str, **_: Any) -> None:
    """Runs before the page goes: kopf holds it with a finalizer until this has succeeded."""
    remembered = {"metadata": {"name": f"{name}-obituary"}, "data": {"title": spec["title"]}}
    client.CoreV1Api().create_namespaced_config_map(namespace, remembered)


def render(spec: kopf.Spec) -> str:
    title, text = html.escape(spec["title"]), html.escape(spec["text"])
    return f"<h1>{title}</h1>\n<p>{text}</p>\n"
