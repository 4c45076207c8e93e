"""The environment of a container: service variables, envFrom and env, in upstream's order of precedence. Pure but
for the look-up of config maps and secrets, which is handed in.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kubelet.container.fieldref import DownwardApi, FieldPathError
from kubelet.model import podspec
from machinery.objects import Object
from machinery.validation import is_env_var_name

Kind = Literal["configmap", "secret"]
Lookup = Callable[[Kind, str, str], Object | None]  # kind, namespace, name

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)(\)?))")
MASTER_NAMESPACE, MASTER_SERVICES = "default", ("kubernetes",)


class ConfigError(Exception):
    """The container cannot be configured: upstream's CreateContainerConfigError and its message."""


@dataclass(frozen=True, slots=True)
class VariableSources:
    """What the variables of a container may refer to."""

    downward: DownwardApi
    lookup: Lookup
    services: Iterable[Object]


def environment(sources: VariableSources, spec: podspec.Spec) -> dict[str, str]:
    services = service_variables(sources.services, sources.downward.pod)
    out: dict[str, str] = {}
    for source in spec.get("envFrom", []):
        out |= _from_source(sources, source)
    for variable in spec.get("env", []):
        name = variable["name"]
        value = _value(sources, spec, variable, {**services, **out})
        if value is not None:
            out[name] = value
    return {**{name: value for name, value in services.items() if name not in out}, **out}


def _value(
    sources: VariableSources, spec: podspec.Spec, variable: Mapping[str, Any], known: Mapping[str, str]
) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return expand(variable.get("value") or "", known)
    try:
        if "fieldRef" in source or "resourceFieldRef" in source:
            return sources.downward.value(source, spec["name"])
    except FieldPathError as error:
        raise ConfigError(str(error)) from error
    if reference := source.get("configMapKeyRef"):
        return _key(sources, "configmap", reference)
    if reference := source.get("secretKeyRef"):
        return _key(sources, "secret", reference)
    raise ConfigError(f"the source of variable {variable['name']} is not supported")


def _key(sources: VariableSources, kind: Kind, reference: Mapping[str, Any]) -> str | None:
    namespace, name, key = sources.downward.pod["metadata"]["namespace"], reference.get("name", ""), reference["key"]
    found = sources.lookup(kind, namespace, name)
    values = data_of(kind, found) if found else None
    if values is not None and key in values:
        return values[key].decode(errors="replace")
    if reference.get("optional"):
        return None
    if values is None:
        raise ConfigError(f'{kind} "{name}" not found')
    shown = "ConfigMap" if kind == "configmap" else "Secret"
    raise ConfigError(f"couldn't find key {key} in {shown} {namespace}/{name}")


def _from_source(sources: VariableSources, source: Mapping[str, Any]) -> dict[str, str]:
    kind: Kind = "configmap" if "configMapRef" in source else "secret"
    reference = source.get("configMapRef") or source.get("secretRef", {})
    found = sources.lookup(kind, sources.downward.pod["metadata"]["namespace"], reference.get("name", ""))
    if found is None:
        if reference.get("optional"):
            return {}
        raise ConfigError(f'{kind} "{reference.get("name", "")}" not found')
    prefix = source.get("prefix") or ""
    values = found.get("data", {}) if kind == "configmap" else data_of(kind, found)
    return {prefix + key: _text(value) for key, value in sorted(values.items()) if not is_env_var_name(prefix + key)}


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")


def data_of(kind: Kind, found: Object) -> dict[str, bytes]:
    """Return the contents of a config map or secret as bytes."""
    if kind == "secret":
        return {key: base64.b64decode(value) for key, value in found.get("data", {}).items()}
    binary = {key: base64.b64decode(value) for key, value in found.get("binaryData", {}).items()}
    return {**{key: value.encode() for key, value in found.get("data", {}).items()}, **binary}


# Services


def service_variables(services: Iterable[Object], pod: Object) -> dict[str, str]:
    """Return variables for the Services of the pod's namespace, unless it wants none, and always for the API
    server's.
    """
    namespace = pod["metadata"]["namespace"]
    links = pod["spec"].get("enableServiceLinks", True) is not False
    chosen: dict[str, Object] = {}
    for service in services:
        meta, address = service["metadata"], service["spec"].get("clusterIP")
        if address in (None, "", "None") or not service["spec"].get("ports"):
            continue
        master = meta["namespace"] == MASTER_NAMESPACE and meta["name"] in MASTER_SERVICES
        if meta["namespace"] == namespace and (links or master):
            chosen[meta["name"]] = service
        elif master:
            chosen.setdefault(meta["name"], service)
    out: dict[str, str] = {}
    for name in sorted(chosen):
        out |= _variables_of(name, chosen[name]["spec"])
    return out


def _variables_of(service: str, spec: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables of one Service: HOST and PORT, and those that Docker once made for ``--link``."""
    prefix, address, ports = _upper(service), spec["clusterIP"], spec["ports"]
    out = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(ports[0]["port"])}
    for port in ports:
        if port.get("name"):
            out[f"{prefix}_SERVICE_PORT_{_upper(port['name'])}"] = str(port["port"])
    host = f"[{address}]" if ":" in address else address
    for index, port in enumerate(ports):
        protocol = port.get("protocol") or "TCP"
        url = f"{protocol.lower()}://{host}:{port['port']}"
        if index == 0:
            out[f"{prefix}_PORT"] = url
        link = f"{prefix}_PORT_{port['port']}_{protocol.upper()}"
        out |= {
            link: url,
            f"{link}_PROTO": protocol.lower(),
            f"{link}_PORT": str(port["port"]),
            f"{link}_ADDR": address,
        }
    return out


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``$(NAME)``, upstream's syntax in commands, arguments and variables.

    A name that is not known stays as it is written, and ``$$`` is an escaped dollar sign.
    """

    def replacement(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        if not match[2]:  # No reference is closed from here to the end of the text.
            return match[0].replace("$$", "$")
        return variables.get(match[1], match[0])

    return _REFERENCE.sub(replacement, text)
