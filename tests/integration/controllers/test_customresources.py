"""The controllers and kinds that come while they run: owners, dependents and the content of namespaces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from machinery.errors import NotFound
from machinery.objects import Object, get_condition
from machinery.resources import CONFIG_MAPS, NAMESPACES, Resource

pytestmark = pytest.mark.etcd

Wait = Callable[..., Any]

DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)


def exists(cluster: Any, resource: Resource, name: str, namespace: str) -> bool:
    try:
        cluster.client.get(resource, name, namespace)
    except NotFound:
        return False
    return True


def definition(resource: Resource) -> Object:
    return {
        "apiVersion": DEFINITIONS.api_version,
        "kind": DEFINITIONS.kind,
        "metadata": {"name": resource.name},
        "spec": {
            "group": resource.group,
            "scope": "Namespaced",
            "names": {"plural": resource.plural, "kind": resource.kind},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
            ],
        },
    }


@pytest.fixture
def widgets(cluster: Any, wait: Wait) -> Iterator[Resource]:
    """A kind that nobody has known before: its group is the test's own."""
    resource = Resource(f"{cluster.namespace}.example.com", "v1", "widgets", "Widget")
    cluster.client.create(DEFINITIONS, definition(resource))

    def established() -> bool:
        found = get_condition(cluster.client.get(DEFINITIONS, resource.name), "Established")
        return found is not None and found["status"] == "True"

    wait(established, "the definition to be served")
    yield resource
    if exists(cluster, DEFINITIONS, resource.name, ""):
        cluster.client.delete(DEFINITIONS, resource.name)


def make(cluster: Any, resource: Resource, name: str, owner: Object | None = None) -> Object:
    meta: Object = {"name": name}
    if owner:
        own = owner["metadata"]
        meta["ownerReferences"] = [
            {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": own["name"], "uid": own["uid"]}
        ]
    made: Object = cluster.client.create(
        resource, {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta}, cluster.namespace
    )
    return made


def test_owners_of_a_new_kind_are_known_at_once(cluster: Any, wait: Wait, widgets: Resource) -> None:
    widget = make(cluster, widgets, "owner")
    make(cluster, CONFIG_MAPS, "dependent", widget)
    above = make(cluster, CONFIG_MAPS, "above")
    make(cluster, widgets, "below", above)
    cluster.client.delete(widgets, "owner", cluster.namespace)
    cluster.client.delete(CONFIG_MAPS, "above", cluster.namespace)
    wait(lambda: not exists(cluster, CONFIG_MAPS, "dependent", cluster.namespace), "the dependent to be collected")
    wait(lambda: not exists(cluster, widgets, "below", cluster.namespace), "the widget to be collected")


def test_foreground_deletion_of_a_new_kind(cluster: Any, wait: Wait, widgets: Resource) -> None:
    widget = make(cluster, widgets, "owner")
    make(cluster, CONFIG_MAPS, "dependent", widget)
    cluster.client.delete(widgets, "owner", cluster.namespace, propagation="Foreground")
    wait(lambda: not exists(cluster, widgets, "owner", cluster.namespace), "the owner to go")
    wait(lambda: not exists(cluster, CONFIG_MAPS, "dependent", cluster.namespace), "the dependent to go")


def test_a_namespace_goes_with_its_custom_resources(cluster: Any, wait: Wait, widgets: Resource) -> None:
    make(cluster, widgets, "inside")
    cluster.client.delete(NAMESPACES, cluster.namespace)
    wait(lambda: not exists(cluster, NAMESPACES, cluster.namespace, ""), "the namespace to go")
    assert not exists(cluster, widgets, "inside", cluster.namespace)


def test_deleting_a_definition_collects_what_its_objects_owned(cluster: Any, wait: Wait, widgets: Resource) -> None:
    make(cluster, CONFIG_MAPS, "dependent", make(cluster, widgets, "owner"))
    # The collector has seen both when it has done this.
    make(cluster, CONFIG_MAPS, "first", make(cluster, widgets, "other"))
    cluster.client.delete(widgets, "other", cluster.namespace)
    wait(lambda: not exists(cluster, CONFIG_MAPS, "first", cluster.namespace), "the other's dependent to be collected")
    cluster.client.delete(DEFINITIONS, widgets.name)
    wait(lambda: not exists(cluster, CONFIG_MAPS, "dependent", cluster.namespace), "the dependent to be collected")
