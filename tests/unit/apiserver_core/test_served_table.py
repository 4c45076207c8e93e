"""What discovery and OpenAPI list is what is served, and nothing else, whatever features there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from everykind import REGISTRY

from apiserver.assembly import Server, assemble
from apiserver.config import Config
from apiserver.storage.memory import MemoryStore

Ask = Callable[..., Any]

METHODS = {
    **{"create": "POST", "get": "GET", "list": "GET", "watch": "GET", "update": "PUT", "patch": "PATCH"},
    **{"delete": "DELETE", "deletecollection": "DELETE"},
}
UNKNOWN = "the server could not find the requested resource"
FEATURES = pytest.mark.parametrize("features", ["none", "*", "workloads", "serviceaccounts", "proxying"])


@pytest.fixture
def server(features: str, tmp_path: Path) -> Iterator[Server]:
    tokens = tmp_path / "tokens.csv"
    tokens.write_text("secret,admin,,system:masters\n")
    made = assemble(Config(features=(features,), token_auth_file=tokens), MemoryStore())
    made.start()
    assert made.bootstrapped.wait(30)
    yield made
    made.stop()


@pytest.fixture
def ask(server: Server) -> Ask:
    def ask(path: str, method: str = "GET", accept: str = "application/json") -> Any:
        headers = {"Authorization": "Bearer secret", "Accept": accept}
        return server.wsgi.test_client().open(path, method=method, headers=headers)

    return ask


def listed(ask: Ask) -> dict[str, tuple[bool, list[str]]]:
    """Return ``/api/v1/pods/log`` → (namespaced, verbs) of all resources and subresources, by the old discovery."""
    versions = [group["versions"] for group in ask("/apis").get_json()["groups"]]
    roots = ["/api/v1", *(f"/apis/{version['groupVersion']}" for group in versions for version in group)]
    return {
        f"{root}/{resource['name']}": (resource["namespaced"], resource["verbs"])
        for root in roots
        for resource in ask(root).get_json()["resources"]
    }


def aggregated(ask: Ask) -> dict[str, list[str]]:
    found = {}
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    for root in ("/api", "/apis"):
        for group in ask(root, accept=accept).get_json()["items"]:
            for version in group["versions"]:
                place = "/".join(part for part in (root, group["metadata"].get("name"), version["version"]) if part)
                for resource in version["resources"]:
                    path = f"{place}/{resource['resource']}"
                    found[path] = resource["verbs"]
                    found.update(
                        {f"{path}/{sub['subresource']}": sub["verbs"] for sub in resource.get("subresources", ())}
                    )
    return found


def in_openapi(paths: Any) -> set[str]:
    """Return the resources in the paths of an OpenAPI document; that of a review is in the path of its POST."""
    found = set()
    for path in paths:
        parts = [part for part in path.split("/") if part not in ("{namespace}", "{name}", "{path}")]
        if "namespaces" in parts[:-1] and "{namespace}" in path:
            parts.remove("namespaces")
        if len(parts) > (3 if parts[1] == "api" else 4):
            found.add("/".join(parts))
    return found


def is_subresource(resource: str) -> bool:
    return len(resource.split("/")) > (4 if resource.startswith("/api/") else 5)


def path_of(resource: str, namespaced: bool, *, name: str) -> str:
    """Return the path of an object, or with its subresource: ``/api/v1/namespaces/default/pods/x/log``."""
    parts = resource.split("/")
    at = 3 if parts[1] == "api" else 4
    root, (plural, *subresource) = parts[:at], parts[at:]
    return "/".join(
        [*root, *(("namespaces", "default") if namespaced else ()), plural, *([name] if name else []), *subresource]
    )


@FEATURES
def test_every_list_of_what_is_served_is_the_same(ask: Ask) -> None:
    known = listed(ask)
    assert aggregated(ask) == {path: verbs for path, (_, verbs) in known.items()}
    assert in_openapi(ask("/openapi/v2").get_json()["paths"]) == set(known)
    documents = ask("/openapi/v3").get_json()["paths"]
    paths = [path for name in documents for path in ask(f"/openapi/v3/{name}").get_json()["paths"]]
    assert in_openapi(paths) == set(known)


@FEATURES
def test_what_is_listed_answers(ask: Ask) -> None:
    known = listed(ask)
    assert len(known) > 20
    for resource, (namespaced, verbs) in known.items():
        for verb in verbs:
            of_one = is_subresource(resource) or verb in ("delete", "get", "patch", "update")
            path = path_of(resource, namespaced, name="x" if of_one else "")
            query = "?watch=1&timeoutSeconds=1&resourceVersion=1" if verb == "watch" else ""
            answer = ask(path + query, METHODS[verb])
            assert answer.status_code != 405, (verb, path)
            if verb != "watch" and answer.status_code == 404:
                assert not answer.get_json()["message"].startswith(UNKNOWN), (verb, path)


@pytest.mark.parametrize("features", ["none", "*"])
def test_what_is_not_listed_does_not_answer(ask: Ask) -> None:
    """Each kind of all features, with each subresource that any of them has."""
    known = listed(ask)
    names = sorted({row.name for kind in REGISTRY.kinds() for row in kind.subresources}) + ["nonsense"]
    for kind in REGISTRY.kinds():
        for version in kind.versions:
            root = f"/apis/{kind.group}/{version}" if kind.group else f"/api/{version}"
            for resource in (f"{root}/{kind.plural}", *(f"{root}/{kind.plural}/{name}" for name in names)):
                if resource in known:
                    continue
                for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
                    answer = ask(path_of(resource, kind.namespaced, name="x"), method)
                    assert answer.status_code == 404, (method, resource)
                    assert answer.get_json()["message"].startswith(UNKNOWN), (method, resource)


@pytest.mark.parametrize("features", ["*"])
def test_only_a_proxy_has_paths_below_it(ask: Ask) -> None:
    for resource, (namespaced, verbs) in listed(ask).items():
        if not is_subresource(resource):
            continue
        answer = ask(path_of(resource, namespaced, name="x") + "/below", METHODS[verbs[0]])
        message = answer.get_json()["message"]
        assert message.startswith(UNKNOWN) is not resource.endswith("/proxy"), (resource, message)
