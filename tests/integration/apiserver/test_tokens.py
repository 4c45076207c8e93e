"""ServiceAccounts' tokens through the whole application: asked for, reviewed, explained to others."""

from __future__ import annotations

from typing import Any

import jwt
import pytest
from integration.apiserver.conftest import Api

pytestmark = pytest.mark.etcd

ISSUER = "https://kubernetes.default.svc"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


@pytest.fixture
def pod(api: Api, namespace: str) -> dict[str, Any]:
    api("POST", "/api/v1/nodes", {"metadata": {"name": "tokens"}})
    spec = {"nodeName": "tokens", "containers": [{"name": "c", "image": "i"}]}
    answer = api("POST", f"/api/v1/namespaces/{namespace}/pods", {"metadata": {"name": "p"}, "spec": spec})
    made: dict[str, Any] = answer.json
    return made


def ask(api: Api, namespace: str, account: str = "default", **spec: Any) -> Any:
    return api("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", {"spec": spec})


def review(api: Api, token: str, *audiences: str) -> dict[str, Any]:
    spec = {"token": token, **({"audiences": list(audiences)} if audiences else {})}
    answer = api("POST", REVIEWS, {"spec": spec})
    assert answer.code == 201
    status: dict[str, Any] = answer.json["status"]
    return status


def bound(kind: str, obj: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def test_a_token_of_a_pod(api: Api, namespace: str, pod: dict[str, Any]) -> None:
    answer = ask(api, namespace, boundObjectRef=bound("Pod", pod))
    assert answer.code == 201
    assert answer.json["metadata"]["name"] == "default"
    assert answer.json["spec"]["audiences"] == [ISSUER]
    token = answer.json["status"]["token"]
    said = claims(token)
    node = api("GET", "/api/v1/nodes/tokens").json
    account = api("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/default").json
    assert said["kubernetes.io"] == {
        "namespace": namespace,
        "serviceaccount": {"name": "default", "uid": account["metadata"]["uid"]},
        "pod": {"name": "p", "uid": pod["metadata"]["uid"]},
        "node": {"name": "tokens", "uid": node["metadata"]["uid"]},
    }
    status = review(api, token)
    assert status["authenticated"] and status["audiences"] == [ISSUER]
    user = status["user"]
    assert user["username"] == f"system:serviceaccount:{namespace}:default"
    assert {key.rpartition("/")[2]: values for key, values in user["extra"].items()} == {
        "credential-id": [f"JTI={said['jti']}"],
        "pod-name": ["p"],
        "pod-uid": [pod["metadata"]["uid"]],
        "node-name": ["tokens"],
        "node-uid": [node["metadata"]["uid"]],
    }
    assert api("DELETE", f"/api/v1/namespaces/{namespace}/pods/p?gracePeriodSeconds=0").code == 200
    assert review(api, token) == {
        "user": {},
        "error": "[invalid bearer token, service account token has been invalidated]",
    }
    assert api("GET", "/api", headers={"Authorization": f"Bearer {token}"}).code == 401


def test_audiences(api: Api, namespace: str) -> None:
    token = ask(api, namespace, audiences=["vault", "other"]).json["status"]["token"]
    assert api("GET", "/api", headers={"Authorization": f"Bearer {token}"}).code == 401
    assert review(api, token)["error"] == (
        f'[invalid bearer token, token audiences ["vault" "other"] is invalid for the target audiences ["{ISSUER}"]]'
    )
    assert review(api, token, "vault", "x")["audiences"] == ["vault"]
    assert review(api, "nonsense") == {"user": {}, "error": "invalid bearer token"}
    assert review(api, "somebody-token")["user"]["username"] == "somebody"
    assert review(api, "somebody-token", "vault") == {"user": {}, "error": "invalid bearer token"}
    assert api("POST", REVIEWS, {"spec": {}}).code == 400


def test_the_token_that_every_pod_gets_outlives_its_hour(api: Api, namespace: str, pod: dict[str, Any]) -> None:
    year = 365 * 24 * 3600
    for spec, lasts in (
        ({"expirationSeconds": 3607, "boundObjectRef": bound("Pod", pod)}, year),
        ({"expirationSeconds": 3607, "boundObjectRef": bound("Pod", pod), "audiences": ["vault"]}, 3607),
        ({"expirationSeconds": 3600, "boundObjectRef": bound("Pod", pod)}, 3600),
        ({"expirationSeconds": 3607}, 3607),
    ):
        said = claims(ask(api, namespace, **spec).json["status"]["token"])
        assert said["exp"] - said["iat"] == lasts
        assert said["kubernetes.io"].get("warnafter", 0) == (said["iat"] + 3607 if lasts == year else 0)


def test_what_is_not_given(api: Api, namespace: str, pod: dict[str, Any]) -> None:
    def refusal(**spec: Any) -> str:
        answer = ask(api, namespace, **spec)
        return f"{answer.code} {answer.json['message']}"

    assert refusal(expirationSeconds=60) == (
        '422 TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 60: '
        "may not specify a duration less than 10 minutes"
    )
    assert refusal(boundObjectRef={"apiVersion": "v1", "kind": "Service", "name": "s"}) == (
        "400 cannot bind token to object of type /v1, Kind=Service"
    )
    assert refusal(boundObjectRef={**bound("Pod", pod), "uid": "x"}).startswith(
        '409 Operation cannot be fulfilled on Pod "p"'
    )
    assert refusal(boundObjectRef={**bound("Pod", pod), "name": "gone"}) == '404 pods "gone" not found'
    api("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "bot"}})
    answer = ask(api, namespace, "bot", boundObjectRef=bound("Pod", pod))
    assert (answer.code, answer.json["message"]) == (
        400,
        'cannot bind token for serviceaccount "bot" to pod running with different serviceaccount name.',
    )
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/bot/token"
    answer = api("POST", path, {"metadata": {"name": "other"}, "spec": {}})
    assert answer.code == 422
    assert "must match the service account name if specified" in answer.json["message"]
    assert ask(api, namespace, "nobody").code == 404


def test_others_can_check_the_tokens(api: Api, namespace: str) -> None:
    token = ask(api, namespace, audiences=["vault"]).json["status"]["token"]
    answer = api("GET", "/.well-known/openid-configuration", headers={"Authorization": f"Bearer {token}"})
    assert answer.code == 401, "that token is not for this server"
    token_here = ask(api, namespace).json["status"]["token"]
    bearer = {"Authorization": f"Bearer {token_here}"}
    answer = api("GET", "/.well-known/openid-configuration", headers=bearer)
    assert (answer.code, answer.headers["Cache-Control"]) == (200, "public, max-age=3600")
    configuration = answer.json
    assert configuration["issuer"] == ISSUER
    assert configuration["jwks_uri"].endswith("/openid/v1/jwks")
    assert configuration["id_token_signing_alg_values_supported"] == ["ES256"]
    answer = api("GET", "/openid/v1/jwks", headers=bearer)
    assert answer.headers["Content-Type"] == "application/jwk-set+json"
    keys = jwt.PyJWKSet.from_dict(answer.json)
    key = keys[jwt.get_unverified_header(token)["kid"]]
    checked = jwt.decode(token, key.key, ["ES256"], audience="vault", issuer=ISSUER)
    assert checked["sub"] == f"system:serviceaccount:{namespace}:default"
    assert api("GET", "/openid/v1/jwks", headers={"Authorization": "Bearer somebody-token"}).code == 403
