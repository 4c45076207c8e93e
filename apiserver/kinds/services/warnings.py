"""Warnings about Services (upstream: pkg/api/service/warnings.go)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from apiserver.kinds.services.defaults import is_headless
from machinery.errors import quote
from machinery.objects import Object
from machinery.validation import parse_ip

_FUTURE = "was accepted, but will be invalid in a future Kubernetes release"
_HINTS, _MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"


def service_warnings(service: Object) -> Iterator[str]:
    """Yield warnings about fields without effect, and about addresses in forms that will not be accepted for ever."""
    spec = service["spec"]
    if _HINTS in service["metadata"].get("annotations", {}):
        yield f"annotation {_HINTS} is deprecated, please use {_MODE} instead"
    external, balancer = spec.get("externalIPs", ()), spec.get("loadBalancerIP", "")
    if spec["type"] == "ClusterIP" and is_headless(spec):
        if balancer:
            yield "spec.loadBalancerIP is ignored for headless services"
        if external:
            yield "spec.externalIPs is ignored for headless services"
        if spec.get("sessionAffinity", "None") != "None":
            yield "spec.SessionAffinity is ignored for headless services"
    elif spec["type"] != "ExternalName":
        for index, address in enumerate(spec.get("clusterIPs", ())):
            yield from ip_warnings(f"spec.clusterIPs[{index}]", address)
    for index, address in enumerate(external):
        yield from ip_warnings(f"spec.externalIPs[{index}]", address)
    if balancer:
        yield from ip_warnings("spec.loadBalancerIP", balancer)
    for index, text in enumerate(spec.get("loadBalancerSourceRanges", ())):
        yield from cidr_warnings(f"spec.loadBalancerSourceRanges[{index}]", text)
    if spec["type"] == "ExternalName" and external:
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if spec["type"] != "ExternalName" and spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'


def ip_warnings(path: str, text: str) -> Iterator[str]:
    """Yield warnings about an address in a form that other programs read otherwise, or write otherwise.

    Upstream: ``GetWarningsForIP``. A leading zero makes an octet octal for some (CVE-2021-29923).
    """
    if problem := _problem(text):
        yield f"{path}: IP address {_FUTURE}: {problem}"
    elif (canonical := _canonical(text)) != text:
        why = f"is not in RFC 5952 canonical format ({quote(canonical)}), which may cause controller apply-loops"
        yield f"{path}: IPv6 address {quote(text)} {why}"


def cidr_warnings(path: str, text: str) -> Iterator[str]:
    """Yield warnings about a CIDR (upstream: ``GetWarningsForCIDR``)."""
    address, _, bits = text.partition("/")
    problem = _problem(address)
    if not problem and bits != str(int(bits)):
        problem = f"bad bits after slash: {quote(bits)}"
    if problem:
        yield f"{path}: IP prefix {_FUTURE}: netip.ParsePrefix({quote(text)}): {problem}"
    elif (canonical := f"{_canonical(address)}/{bits}") != text:
        why = f"is not in RFC 5952 canonical format ({quote(canonical)}), which may cause controller apply-loops"
        yield f"{path}: IPv6 prefix {quote(text)} {why}"


def _problem(text: str) -> str:
    """Return the error of Go's netip.ParseAddr about the text, empty if it is an address."""
    octets = text.rpartition(":")[2].split(".")
    try:
        parse_ip(text)
    except ValueError:
        return f"ParseAddr({quote(text)}): unable to parse IP"
    if any(len(octet) > 1 and octet.startswith("0") for octet in octets if len(octets) > 1):
        return f"ParseAddr({quote(text)}): IPv4 field has octet with leading zero"
    return ""


def _canonical(text: str) -> str:
    address = parse_ip(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return f"::ffff:{mapped}" if mapped else str(address)
