"""A few rows of the registry's form, so that these tests need no registry."""

from __future__ import annotations

import pytest

from apiserver.kinds.subresources import STATUS, body
from apiserver.model.kind import Column, Kind, Subresource
from apiserver.schema.codec import UpstreamCodec


@pytest.fixture
def pods() -> Kind:
    return Kind(
        "",
        "v1",
        "Pod",
        "pods",
        UpstreamCodec("io.k8s.api.core.v1.Pod"),
        short_names=("po",),
        categories=("all",),
        subresources=(
            STATUS,
            Subresource("log", ("get",), text=True),
            Subresource("exec", ("create", "get"), *body("", "PodExecOptions")),
        ),
        columns=(
            Column("Status", lambda pod: pod.get("status", {}).get("phase", "")),
            Column("IP", lambda pod: pod.get("status", {}).get("podIP"), priority=1),
        ),
    )


@pytest.fixture
def services() -> Kind:
    return Kind("", "v1", "Service", "services", UpstreamCodec("io.k8s.api.core.v1.Service"), short_names=("svc",))


@pytest.fixture
def secrets() -> Kind:
    return Kind("", "v1", "Secret", "secrets", UpstreamCodec("io.k8s.api.core.v1.Secret"))


@pytest.fixture
def leases() -> Kind:
    return Kind("coordination.k8s.io", "v1", "Lease", "leases", UpstreamCodec("io.k8s.api.coordination.v1.Lease"))


@pytest.fixture
def slices() -> Kind:
    return Kind(
        "discovery.k8s.io",
        "v1",
        "EndpointSlice",
        "endpointslices",
        UpstreamCodec("io.k8s.api.discovery.v1.EndpointSlice"),
        also_served=("v1beta1",),
    )
