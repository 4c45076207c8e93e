"""EndpointSlices: a Service's addresses in pieces, which the proxy reads."""

from apiserver.kind import Kind

ENDPOINT_SLICES = Kind(
    "discovery.k8s.io",
    "v1",
    "EndpointSlice",
    "endpointslices",
    "io.k8s.api.discovery.v1.EndpointSlice",
    also_served=("v1beta1",),
)
