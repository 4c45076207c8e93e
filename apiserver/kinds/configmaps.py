"""ConfigMaps: text and bytes under keys that must be usable as file names."""

from apiserver.kind import Kind

CONFIG_MAPS = Kind(
    "",
    "v1",
    "ConfigMap",
    "configmaps",
    "io.k8s.api.core.v1.ConfigMap",
    short_names=("cm",),
)
