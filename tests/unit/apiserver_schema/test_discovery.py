"""Both forms of discovery tell the same."""

from __future__ import annotations

import re

from apiserver.api import discovery
from apiserver.model.kind import Kind


def test_legacy_documents(pods: Kind, slices: Kind, leases: Kind) -> None:
    kinds = (pods, slices, leases)
    assert discovery.core_versions("1.2.3.4:6443")["versions"] == ["v1"]
    names = [group["name"] for group in discovery.group_list(kinds)["groups"]]
    assert names == ["discovery.k8s.io", "coordination.k8s.io"]
    group = discovery.group(kinds, "discovery.k8s.io")
    assert group == {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": "discovery.k8s.io",
        "versions": [
            {"groupVersion": "discovery.k8s.io/v1", "version": "v1"},
            {"groupVersion": "discovery.k8s.io/v1beta1", "version": "v1beta1"},
        ],
        "preferredVersion": {"groupVersion": "discovery.k8s.io/v1", "version": "v1"},
    }
    assert discovery.group(kinds, "apps") is None
    assert discovery.resource_list(kinds, "discovery.k8s.io", "v2") is None


def test_resource_list(pods: Kind, leases: Kind) -> None:
    found = discovery.resource_list((pods, leases), "", "v1")
    assert found is not None
    assert found["groupVersion"] == "v1"
    resources = {resource["name"]: resource for resource in found["resources"]}
    assert list(resources) == ["pods", "pods/exec", "pods/log", "pods/status"]
    # The hash is upstream's own for core/v1 pods: clients compare it across servers.
    assert resources["pods"] == {
        "name": "pods",
        "singularName": "pod",
        "namespaced": True,
        "kind": "Pod",
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "shortNames": ["po"],
        "categories": ["all"],
        "storageVersionHash": "xPOwRZ+Yhw8=",
    }
    assert resources["pods/status"] == {
        "name": "pods/status",
        "singularName": "",
        "namespaced": True,
        "kind": "Pod",
        "verbs": ["get", "patch", "update"],
    }
    assert resources["pods/exec"]["kind"] == "PodExecOptions"


def test_aggregated(pods: Kind, slices: Kind) -> None:
    kinds = (pods, slices)
    core = discovery.aggregated(kinds, core=True)
    assert core["apiVersion"] == "apidiscovery.k8s.io/v2"
    (group,) = core["items"]
    (version,) = group["versions"]
    assert (version["version"], version["freshness"]) == ("v1", "Current")
    (resource,) = version["resources"]
    assert resource["responseKind"] == {"group": "", "version": "v1", "kind": "Pod"}
    assert (resource["scope"], resource["shortNames"], resource["categories"]) == ("Namespaced", ["po"], ["all"])
    assert [sub["subresource"] for sub in resource["subresources"]] == ["exec", "log", "status"]
    assert resource["subresources"][2]["responseKind"]["kind"] == "Pod"
    others = discovery.aggregated(kinds, core=False, version="v2beta1")
    assert others["apiVersion"] == "apidiscovery.k8s.io/v2beta1"
    assert [group["metadata"]["name"] for group in others["items"]] == ["discovery.k8s.io"]
    assert [version["version"] for version in others["items"][0]["versions"]] == ["v1", "v1beta1"]


def test_the_version_names_a_commit() -> None:
    """Upstream's conformance test of ``kubectl version`` wants one."""
    assert re.fullmatch("[0-9a-f]{40}", discovery.VERSION["gitCommit"])
