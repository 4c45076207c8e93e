"""Pod security through the whole application: codes, messages and Warning headers."""

from __future__ import annotations

from typing import Any

import pytest
from integration.apiserver.conftest import Api

pytestmark = pytest.mark.etcd

Object = dict[str, Any]
MERGE = {"Content-Type": "application/merge-patch+json"}


def label(api: Api, namespace: str, query: str = "", **modes: str) -> Any:
    labels = {f"pod-security.kubernetes.io/{mode}": level for mode, level in modes.items()}
    return api("PATCH", f"/api/v1/namespaces/{namespace}{query}", {"metadata": {"labels": labels}}, MERGE)


def create(api: Api, namespace: str, name: str = "web", **spec: Any) -> Any:
    body = {"metadata": {"name": name}, "spec": {"containers": [{"name": "a", "image": "i"}], **spec}}
    return api("POST", f"/api/v1/namespaces/{namespace}/pods", body)


def test_what_is_enforced_holds_from_the_next_request_on(api: Api, namespace: str) -> None:
    assert label(api, namespace, enforce="baseline").code == 200
    refused = create(api, namespace, hostPID=True)
    assert (refused.code, refused.json["reason"]) == (403, "Forbidden")
    assert refused.json["message"] == (
        'pods "web" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostPID=true)'
    )
    assert create(api, namespace).code == 201


def test_warnings_come_in_headers(api: Api, namespace: str) -> None:
    label(api, namespace, warn="restricted")
    created = create(api, namespace)
    assert created.code == 201
    assert '299 - "would violate PodSecurity \\"restricted:latest\\": ' in created.headers["Warning"]
    template = {"template": {"spec": {"hostNetwork": True, "containers": [{"name": "a", "image": "i"}]}}}
    made = api("POST", f"/api/v1/namespaces/{namespace}/podtemplates", {"metadata": {"name": "t"}, **template})
    assert (made.code, "host namespaces" in made.headers["Warning"]) == (201, True)


def test_a_dry_run_of_a_label_tells_what_it_would_hit(api: Api, namespace: str) -> None:
    create(api, namespace, hostNetwork=True)
    answer = label(api, namespace, "?dryRun=All", enforce="baseline")
    assert [text.removeprefix("299 - ") for text in answer.headers.getlist("Warning")] == [
        f'"existing pods in namespace \\"{namespace}\\" violate the new PodSecurity enforce level '
        '\\"baseline:latest\\""',
        '"web: host namespaces"',
    ]
    assert create(api, namespace, "other", hostNetwork=True).code == 201
    wrong = label(api, namespace, enforce="hard")
    assert (wrong.code, wrong.json["reason"]) == (422, "Invalid")
