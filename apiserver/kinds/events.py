"""Events: what happened to an object and how often; the store forgets them after an hour."""

from apiserver.kind import Kind

EVENTS = Kind(
    "",
    "v1",
    "Event",
    "events",
    "io.k8s.api.core.v1.Event",
    short_names=("ev",),
)
