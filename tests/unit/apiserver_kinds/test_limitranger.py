"""LimitRanger: what it fills in and what it refuses, in upstream's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from apiserver.admission.limitranger import LimitRanger
from apiserver.kinds.limitranges import LIMIT_RANGES
from apiserver.kinds.pods.row import PODS
from apiserver.model.kind import Kind
from apiserver.model.user import User
from apiserver.registry.admissionrequest import AdmissionRequest
from apiserver.registry.writerequest import WriteRequest
from apiserver.schema.codec import UpstreamCodec
from machinery.errors import Forbidden

Object = dict[str, Any]
CLAIMS = Kind(
    "",
    "v1",
    "PersistentVolumeClaim",
    "persistentvolumeclaims",
    UpstreamCodec("io.k8s.api.core.v1.PersistentVolumeClaim"),
)


class Ranges:
    """The LimitRanges of the namespace."""

    def __init__(self, *limits: Object) -> None:
        self.items = [{"kind": "LimitRange", "metadata": {"name": "limits"}, "spec": {"limits": list(limits)}}]
        LIMIT_RANGES.strategy.default(self.items[0])

    def get(self, kind: Kind, namespace: str, name: str, *, consistent: bool = False) -> Object | None:
        raise NotImplementedError

    def await_object(self, kind: Kind, namespace: str, name: str, seconds: float) -> Object | None:
        raise NotImplementedError

    def list(self, kind: Kind, namespace: str = "", *, consistent: bool = False) -> Sequence[Object]:
        assert (kind, namespace, consistent) == (LIMIT_RANGES, "t", True)
        return self.items


def container(name: str = "a", requests: Object | None = None, limits: Object | None = None, **more: Any) -> Object:
    resources = {field: value for field, value in (("requests", requests), ("limits", limits)) if value is not None}
    return {"name": name, "resources": resources, **more}


def pod(*containers: Object, init: Sequence[Object] = (), **meta: Any) -> Object:
    return {"metadata": {"name": "web", **meta}, "spec": {"containers": list(containers), "initContainers": list(init)}}


def run(obj: Object, *limits: Object, kind: Kind = PODS, operation: str = "CREATE", old: Object | None = None) -> None:
    request = AdmissionRequest(operation, WriteRequest(kind, "t", "", User("u")), obj, old, Ranges(*limits))
    plugin = LimitRanger()
    if plugin.handles(request):
        plugin.admit(request)
        plugin.validate(request)


def refusal(obj: Object, *limits: Object, **more: Any) -> str:
    with pytest.raises(Forbidden) as error:
        run(obj, *limits, **more)
    return error.value.message


def test_containers_get_what_they_do_not_state_and_the_pod_tells_of_it() -> None:
    obj = pod(
        container("a", requests={"cpu": "100m"}),
        container("b", {"cpu": "1", "memory": "1Gi"}, {"cpu": "1", "memory": "1Gi"}),
        init=[container("i", limits={"memory": "2Gi"})],
        annotations={"own": "kept"},
    )
    run(
        obj,
        {
            "type": "Container",
            "default": {"cpu": "500m", "memory": "512Mi"},
            "defaultRequest": {"cpu": "200m", "memory": "256Mi"},
        },
    )
    first, second = obj["spec"]["containers"]
    assert first["resources"] == {
        "requests": {"cpu": "100m", "memory": "256Mi"},
        "limits": {"cpu": "500m", "memory": "512Mi"},
    }
    assert second["resources"]["requests"] == {"cpu": "1", "memory": "1Gi"}
    assert obj["spec"]["initContainers"][0]["resources"]["limits"] == {"memory": "2Gi", "cpu": "500m"}
    assert obj["metadata"]["annotations"] == {
        "own": "kept",
        "kubernetes.io/limit-ranger": (
            "LimitRanger plugin set: memory request for container a; cpu, memory limit for container a; "
            "cpu, memory request for init container i; cpu limit for init container i"
        ),
    }


def test_nothing_is_told_when_nothing_was_filled_in() -> None:
    obj = pod(container())
    run(obj, {"type": "Pod", "max": {}}, {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}})
    assert obj == pod(container())


@pytest.mark.parametrize(
    "limit, resources, message",
    [
        ({"min": {"cpu": "100m"}}, ({"cpu": "50m"}, {}), "minimum cpu usage per Container is 100m, but request is 50m"),
        (
            {"min": {"cpu": "100m"}},
            ({"cpu": "100m"}, {"cpu": "50m"}),
            "minimum cpu usage per Container is 100m, but limit is 50m",
        ),
        (
            {"max": {"memory": "1Gi"}},
            ({"memory": "1Gi"}, {"memory": "2Gi"}),
            "maximum memory usage per Container is 1Gi, but limit is 2Gi",
        ),
        (
            {"max": {"memory": "1Gi"}},
            ({"memory": "2Gi"}, {"memory": "1Gi"}),
            "maximum memory usage per Container is 1Gi, but request is 2Gi",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            ({"cpu": "300m"}, {"cpu": "1"}),
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.333333",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            ({}, {"cpu": "1"}),
            "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            ({"cpu": "1"}, {}),
            "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0",
        ),
    ],
)
def test_a_container_out_of_bounds_is_refused(limit: Object, resources: tuple[Object, Object], message: str) -> None:
    expected = f'pods "web" is forbidden: {message}'
    assert refusal(pod(container("a", *resources)), {"type": "Container", **limit}) == expected
    assert refusal(pod(container("b"), init=[container("a", *resources)]), {"type": "Container", **limit})


def test_every_problem_is_told_once() -> None:
    obj = pod(container("a", {"cpu": "2"}, {"cpu": "4"}), container("b", {"cpu": "2"}, {"cpu": "4"}))
    assert refusal(obj, {"type": "Container", "max": {"cpu": "1"}}, {"type": "Pod", "max": {"cpu": "3"}}) == (
        'pods "web" is forbidden: [maximum cpu usage per Container is 1, but limit is 4, '
        "maximum cpu usage per Pod is 3, but limit is 8]"
    )


def test_a_pod_is_the_sum_of_its_containers_or_its_largest_init_container() -> None:
    limit = {"type": "Pod", "min": {"memory": "1Gi"}, "max": {"cpu": "2"}}
    half = {"cpu": "1", "memory": "512Mi"}
    run(pod(container("a", half, half), container("b", half, half)), limit)
    large = {"cpu": "3", "memory": "512Mi"}
    message = refusal(pod(container("a", half, half), init=[container("i", large, large)]), limit)
    assert message == (
        'pods "web" is forbidden: [minimum memory usage per Pod is 1Gi, but request is 512Mi, '
        "maximum cpu usage per Pod is 2, but limit is 3]"
    )
    sidecar = container("s", half, half, restartPolicy="Always")
    assert "maximum cpu usage per Pod is 2, but limit is 3" in refusal(
        pod(container("a", half, half), init=[sidecar, container("i", {"cpu": "2"}, {"cpu": "2"})]), limit
    )
    assert refusal(pod(container("a")), limit) == (
        'pods "web" is forbidden: [minimum memory usage per Pod is 1Gi.  No request is specified, '
        "maximum cpu usage per Pod is 2.  No limit is specified]"
    )


def test_pods_that_exist_are_left_alone() -> None:
    obj = pod(container("a", {"cpu": "2"}, {"cpu": "2"}))
    run(obj, {"type": "Container", "max": {"cpu": "1"}}, operation="UPDATE", old=obj)


def claim(storage: str, **meta: Any) -> Object:
    return {"metadata": {"name": "data", **meta}, "spec": {"resources": {"requests": {"storage": storage}}}}


def test_claims_are_looked_at_on_creation_and_change() -> None:
    limit = {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}
    run(claim("1Gi"), limit, kind=CLAIMS)
    assert refusal(claim("500Mi"), limit, kind=CLAIMS) == (
        'persistentvolumeclaims "data" is forbidden: '
        "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 500Mi"
    )
    larger = refusal(claim("3Gi"), limit, kind=CLAIMS, operation="UPDATE", old=claim("1Gi"))
    assert larger.endswith("maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi")
    going = claim("3Gi", deletionTimestamp="2025-01-01T00:00:00Z")
    run(claim("3Gi"), limit, kind=CLAIMS, operation="UPDATE", old=going)
