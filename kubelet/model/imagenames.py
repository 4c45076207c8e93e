"""Image references and pull policy. Pure; the messages are upstream's."""

from __future__ import annotations

import re

from kubelet.model import podspec

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*(?::[\w][\w.-]{{0,127}})?(?:@[a-z0-9]+:[0-9a-fA-F]{{32,}})?",
    re.ASCII,
)


def complaint(reference: str) -> str:
    """Empty for a well-formed reference, else the message of InvalidImageName."""
    if _REFERENCE.fullmatch(reference):
        return ""
    return (
        f'Failed to apply default image tag "{reference}": couldn\'t parse image name "{reference}": '
        f"invalid reference format"
    )


def policy(spec: podspec.Spec) -> str:
    """imagePullPolicy, or what its absence means: Always for :latest and for no tag at all."""
    if given := spec.get("imagePullPolicy"):
        return str(given)
    name = str(spec["image"])
    if "@" in name:
        return "IfNotPresent"
    tag = name.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def registry(reference: str) -> str:
    """The host that an image comes from; Docker's own registry when none is named."""
    first, slash, _ = reference.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first
    return "docker.io"
