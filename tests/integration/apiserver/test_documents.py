"""Discovery and OpenAPI: what may be kept, and when it is outdated."""

from __future__ import annotations

import pytest
from integration.apiserver.conftest import Api

pytestmark = [pytest.mark.etcd, pytest.mark.parametrize("api", ["memory"], indirect=True)]
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList,application/json"


@pytest.mark.parametrize("version", ["v2", "v2beta1"])
@pytest.mark.parametrize("root", ["/api", "/apis"])
def test_aggregated_discovery_is_sent_once(api: Api, root: str, version: str) -> None:
    headers = {"Accept": AGGREGATED.format(version)}
    first = api("GET", root, headers=headers)
    assert first.json["apiVersion"] == f"apidiscovery.k8s.io/{version}"
    assert (
        first.headers["Content-Type"] == f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
    )
    assert first.headers["Vary"] == "Accept"
    again = api("GET", root, headers={**headers, "If-None-Match": first.headers["ETag"]})
    assert (again.code, again.body, again.headers["ETag"]) == (304, b"", first.headers["ETag"])


def test_both_forms_of_discovery_say_the_same(api: Api) -> None:
    aggregated = {}
    for root in ("/api", "/apis"):
        for group in api("GET", root, headers={"Accept": AGGREGATED.format("v2")}).json["items"]:
            for version in group["versions"]:
                name = group["metadata"].get("name", "")
                aggregated[f"{name}/{version['version']}".strip("/")] = version["resources"]
    for group_version, resources in aggregated.items():
        legacy = api("GET", f"/{'apis' if '/' in group_version else 'api'}/{group_version}").json
        assert legacy["groupVersion"] == group_version
        listed = {entry["name"]: entry for entry in legacy["resources"]}
        for entry in resources:
            other = listed.pop(entry["resource"])
            assert other["verbs"] == entry["verbs"]
            assert other["namespaced"] == (entry["scope"] == "Namespaced")
            assert other["singularName"] == entry["singularResource"]
            assert other.get("shortNames") == entry.get("shortNames")
            for part in entry.get("subresources", ()):
                other = listed.pop(f"{entry['resource']}/{part['subresource']}")
                assert (other["kind"], other["verbs"]) == (part["responseKind"]["kind"], part["verbs"])
        assert not listed


def test_a_schema_named_by_its_hash_may_be_kept_for_ever(api: Api) -> None:
    index = api("GET", "/openapi/v3").json["paths"]
    for name, entry in index.items():
        answer = api("GET", entry["serverRelativeURL"])
        assert answer.headers["ETag"].strip('"') in entry["serverRelativeURL"]
        assert answer.headers["Cache-Control"] == "public, immutable" and answer.headers["Expires"]
        assert answer.json["openapi"] == "3.0.0", name


def test_an_outdated_hash_leads_to_the_new_one(api: Api) -> None:
    current = api("GET", "/openapi/v3").json["paths"]["api/v1"]["serverRelativeURL"]
    old = api("GET", "/openapi/v3/api/v1?hash=OLD")
    assert (old.code, old.headers["Location"]) == (301, current)
    without = api("GET", "/openapi/v3/api/v1")
    assert (without.code, without.headers["Cache-Control"]) == (200, "no-cache, private")


def test_the_old_document_is_sent_once_too(api: Api) -> None:
    first = api("GET", "/openapi/v2")
    assert first.json["swagger"] == "2.0"
    again = api("GET", "/openapi/v2", headers={"If-None-Match": f'"other", {first.headers["ETag"]}'})
    assert (again.code, again.body) == (304, b"")
    protobuf = api(
        "GET", "/openapi/v2", headers={"Accept": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"}
    )
    assert protobuf.headers["Content-Type"] == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    assert protobuf.headers["ETag"] != first.headers["ETag"]


@pytest.mark.parametrize("path", ["/openapi", "/openapi/v3/api/v9", "/openapi/v4", "/apis/none.example", "/api/v9"])
def test_what_there_is_not(api: Api, path: str) -> None:
    assert api("GET", path).code == 404
