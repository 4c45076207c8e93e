"""What upstream has and is not here is refused in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from everykind import REGISTRY

from apiserver.assembly import assemble
from apiserver.config import Config
from apiserver.kinds.unsupported import INSTEAD, UNSUPPORTED, upstream_kinds
from apiserver.storage.memory import MemoryStore

Ask = Callable[[str, str], Any]

NO_RESOURCE = "the server could not find the requested resource"
NO_METHOD = "the server does not allow this method on the requested resource"


@pytest.fixture
def features() -> str:
    return "*"


@pytest.fixture
def ask(features: str, tmp_path: Path) -> Iterator[Ask]:
    tokens = tmp_path / "tokens.csv"
    tokens.write_text("secret,admin,,system:masters\n")
    server = assemble(Config(features=(features,), token_auth_file=tokens), MemoryStore())
    server.start()
    assert server.bootstrapped.wait(30)

    def ask(method: str, path: str) -> Any:
        answer = server.wsgi.test_client().open(path, method=method, headers={"Authorization": "Bearer secret"})
        assert answer.content_type == "application/json"
        return answer.get_json()

    yield ask
    server.stop()


def test_every_kind_of_upstreams_is_here_or_in_the_table() -> None:
    rows = REGISTRY.kinds()
    here = {(row.group, row.kind) for row in rows if row not in UNSUPPORTED}
    assert {(group, kind) for (group, _, _), kind in upstream_kinds().items()} - here == set(INSTEAD)
    assert {(row.group, row.kind) for row in UNSUPPORTED} <= set(INSTEAD)
    for row in rows:
        assert upstream_kinds().get((row.group, row.version, row.plural), row.kind) == row.kind


@pytest.mark.parametrize(
    ("request_line", "message"),
    [
        (
            "POST /apis/apps/v1/namespaces/default/deployments",
            f"{NO_METHOD}: mini-Minishift does not have Deployments yet: use a ReplicaSet",
        ),
        (
            "PATCH /apis/apps/v1/namespaces/default/statefulsets/x",
            f"{NO_METHOD}: mini-Minishift does not have StatefulSets yet: use a ReplicaSet",
        ),
        (
            "PUT /apis/networking.k8s.io/v1/namespaces/default/ingresses/x",
            f"{NO_METHOD}: mini-Minishift does not have Ingresses yet: use a Service of type NodePort",
        ),
        ("GET /apis/apps/v1/namespaces/default/deployments/x", 'deployments.apps "x" not found'),
        ("DELETE /apis/apps/v1/namespaces/default/deployments/x", 'deployments.apps "x" not found'),
        ("DELETE /apis/batch/v1/namespaces/default/jobs/x", 'jobs.batch "x" not found'),
        ("DELETE /api/v1/persistentvolumes/x", 'persistentvolumes "x" not found'),
        (
            "GET /apis/apps/v1/namespaces/default/deployments/x/scale",
            f"{NO_RESOURCE}: mini-Minishift does not have Deployments yet: use a ReplicaSet",
        ),
        (
            "GET /apis/networking.k8s.io/v1/networkpolicies",
            f"{NO_RESOURCE}: mini-Minishift does not have NetworkPolicies yet",
        ),
        (
            "POST /apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
            f"{NO_RESOURCE}: mini-Minishift does not have HorizontalPodAutoscalers yet: use kubectl scale",
        ),
        (
            "DELETE /apis/storage.k8s.io/v1/storageclasses/x",
            f"{NO_RESOURCE}: mini-Minishift does not have StorageClasses yet: "
            "use a volume of type emptyDir or hostPath",
        ),
        (
            "GET /api/v1/componentstatuses",
            f"{NO_RESOURCE}: mini-Minishift does not have ComponentStatuses yet: "
            "use kubectl get --raw '/readyz?verbose'",
        ),
        (
            "PATCH /api/v1/namespaces/default/pods/x/ephemeralcontainers",
            f"{NO_RESOURCE}: mini-Minishift does not have ephemeral containers yet: use kubectl debug --copy-to",
        ),
        (
            "POST /apis/authentication.k8s.io/v1beta1/selfsubjectreviews",
            f"{NO_RESOURCE}: SelfSubjectReview is served in authentication.k8s.io/v1",
        ),
        ("GET /api/v1/namespaces/default/pods/x/nonsense", NO_RESOURCE),
        ("GET /apis/policy/v1/evictions", NO_RESOURCE),
        ("GET /apis/example.com/v1/things", NO_RESOURCE),
        ("GET /apis/apps/v2/deployments", NO_RESOURCE),
        ("GET /api/v2/pods", NO_RESOURCE),
    ],
)
def test_an_error_says_what_is_missing(ask: Ask, request_line: str, message: str) -> None:
    status = ask(*request_line.split(" "))
    assert status["message"] == message
    code, reason = (405, "MethodNotAllowed") if message.startswith(NO_METHOD) else (404, "NotFound")
    assert (status["kind"], status["status"], status["code"], status["reason"]) == ("Status", "Failure", code, reason)


@pytest.mark.parametrize("features", ["none"])
def test_a_kind_of_a_feature_that_is_not_selected_says_so(ask: Ask) -> None:
    status = ask("GET", "/api/v1/namespaces/default/resourcequotas")
    why = "ResourceQuotas belong to a feature that this API server runs without (see --features)"
    assert status["message"] == f"{NO_RESOURCE}: {why}"
    status = ask("POST", "/apis/apps/v1/namespaces/default/deployments")
    assert status["message"] == f"{NO_RESOURCE}: mini-Minishift does not have Deployments yet: use a ReplicaSet"


def test_a_deletion_of_all_finds_none(ask: Ask) -> None:
    assert ask("DELETE", "/apis/apps/v1/namespaces/default/deployments")["items"] == []


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/nonsense",
            "/api/v2",
            "/apis/nonsense",
            "/apis/apps/v9",
            "/api/v1/nonsense",
            "/apis/a/b/c/d/e",
            "/healthz/x",
        ),
        *("/openapi/v3/apis/x", "/openapi/v4", "/metrics/x", "/debug/pprof", "//api/v1/pods", "/api/v1/pods/x/y/z"),
        *("/version/x", "/logs", "/swagger.json", "/.well-known/x", "/readyz/etcd/x", "/api/v1/namespaces/default/x/y"),
    ],
)
def test_a_raw_path_that_does_not_exist_is_answered_with_a_status(ask: Ask, path: str) -> None:
    status = ask("GET", path)
    assert (status["kind"], status["apiVersion"], status["code"], status["reason"]) == ("Status", "v1", 404, "NotFound")
    assert status["message"] == NO_RESOURCE
    assert status["details"] == {}
