"""The checks of fields that many kinds share. Each yields the errors of a value; a good value has none.

Paths are upstream's field paths as text; the messages about the values come from ``machinery.validation``.
"""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import orjson

from apiserver.model.addresses import unmapped
from machinery import validation
from machinery.errors import FieldError, quote
from machinery.objects import Object

Errors = Iterable[FieldError]
Check = Callable[[str, Any], Errors]  # of a path and the value there

NEGATIVE = "must be greater than or equal to 0"
IMMUTABLE = "field is immutable"
PROTOCOLS = ("SCTP", "TCP", "UDP")
MAX_INT32 = 2**31 - 1
# Upstream's MaxSecretSize, which ConfigMaps share.
MAX_DATA_BYTES = 1024 * 1024


def invalid(path: str, value: Any, messages: Iterable[str]) -> Errors:
    """Yield one error for each message, all about the same value."""
    for message in messages:
        yield FieldError.invalid(path, value, message)


def required(path: str, value: Any, check: Check | None = None) -> Errors:
    """Check that a value is given and not empty; then, that it passes the other check."""
    if not value:
        return [FieldError.required(path)]
    return check(path, value) if check is not None else ()


def optional(path: str, value: Any, check: Check) -> Errors:
    """Check a value that may be absent, which is None."""
    return check(path, value) if value is not None else ()


def supported(path: str, value: str | None, names: Sequence[str]) -> Errors:
    """Check that a value, if there is one, is one of the supported names."""
    if value is not None and value not in names:
        yield FieldError.not_supported(path, value, names)


def label(path: str, value: str) -> Errors:
    return invalid(path, value, validation.is_dns1123_label(value))


def subdomain(path: str, value: str) -> Errors:
    """Check a DNS-1123 subdomain, which most names are."""
    return invalid(path, value, validation.is_dns1123_subdomain(value))


def qualified_name(path: str, value: str) -> Errors:
    """Check the form of a label's key: a name with an optional domain before a slash."""
    return invalid(path, value, validation.is_qualified_name(value))


def path_segment(path: str, value: str) -> Errors:
    """Check a name that may be anything that fits in one segment of a path."""
    return invalid(path, value, validation.is_path_segment_name(value))


def env_var_name(path: str, value: str) -> Errors:
    return invalid(path, value, validation.is_env_var_name(value))


def data_key(path: str, value: str) -> Errors:
    """Check a key of a ConfigMap or Secret, which is valid as a file name."""
    return invalid(path, value, validation.is_config_map_key(value))


def labels(path: str, values: Mapping[str, str]) -> Errors:
    for name, value in values.items():
        yield from qualified_name(path, name)
        yield from invalid(path, value, validation.is_label_value(value))


def label_selector(path: str, selector: Mapping[str, Any] | None) -> Errors:
    """Check a ``metav1.LabelSelector``; None is valid."""
    if selector is None:
        return
    yield from labels(f"{path}.matchLabels", selector.get("matchLabels", {}))
    for index, requirement in enumerate(selector.get("matchExpressions", ())):
        at = f"{path}.matchExpressions[{index}]"
        yield from selector_requirement(at, requirement, ("In", "NotIn", "Exists", "DoesNotExist"))


def selector_requirement(path: str, requirement: Mapping[str, Any], operators: Sequence[str]) -> Errors:
    """Check an entry of ``matchExpressions``: its key, its operator, and that the operator has the values it needs."""
    operator, values = requirement.get("operator", ""), requirement.get("values", ())
    if operator not in operators:
        yield FieldError.invalid(f"{path}.operator", operator, "not a valid selector operator")
    elif operator in ("In", "NotIn") and not values:
        yield FieldError.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist") and values:
        why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        yield FieldError.forbidden(f"{path}.values", why)
    elif operator in ("Gt", "Lt") and len(values) != 1:
        yield FieldError.required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
    yield from qualified_name(f"{path}.key", requirement.get("key", ""))
    for index, value in enumerate(values):
        yield from invalid(f"{path}.values[{index}]", value, validation.is_label_value(value))


def not_negative(path: str, value: int | None) -> Errors:
    """Check that a number is not negative; None is valid."""
    if value is not None and value < 0:
        yield FieldError.invalid(path, value, NEGATIVE)


def one_of(path: str, value: str | None, supported: Iterable[str]) -> Errors:
    """Check that a value is set, and is one of the supported names."""
    if not value:
        yield FieldError.required(path)
    elif value not in (names := tuple(supported)):
        yield FieldError.not_supported(path, value, names)


def port(path: str, value: int) -> Errors:
    return invalid(path, value, validation.is_port_number(value))


def port_or_name(path: str, value: int | str) -> Errors:
    """Check an int as a port number, and a str as the name of a container's port."""
    if isinstance(value, int):
        return port(path, value)
    return invalid(path, value, validation.is_port_name(value))


def ip(path: str, value: str) -> Errors:
    return invalid(path, value, validation.is_ip(value))


_LINK_LOCAL_MULTICAST = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))
_SPECIAL_FIRST_BYTES = frozenset((0, 127, 169, 224, 0xFE, 0xFF))  # of the addresses that ordinary_ip may refuse


def ordinary_ip(path: str, value: str) -> Errors:
    """Check that another machine could have the address (upstream: ValidateNonSpecialIP)."""
    try:
        address = unmapped(validation.parse_ip(value))
    except ValueError:
        yield FieldError.invalid(path, value, "must be a valid IP address")
        return
    if address.packed[0] not in _SPECIAL_FIRST_BYTES:
        return
    if address.is_unspecified:
        yield FieldError.invalid(path, value, f"may not be unspecified ({value})")
    if address.is_loopback:
        yield FieldError.invalid(path, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        yield FieldError.invalid(path, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if any(address in network for network in _LINK_LOCAL_MULTICAST):
        yield FieldError.invalid(path, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


def cidr(path: str, value: str) -> Errors:
    return invalid(path, value, validation.is_cidr(value))


def immutable(path: str, new: Any, old: Any) -> Errors:
    if new != old:
        yield FieldError.invalid(path, new, IMMUTABLE)


def data_keys(path: str, data: Mapping[str, Any]) -> Errors:
    """Check the keys of a ConfigMap or Secret."""
    for name in data:
        yield from data_key(f"{path}[{name}]", name)


def repeated(values: Iterable[Any]) -> Iterator[int]:
    """Yield the index of each value that occurs before it in the list."""
    seen: set[bytes] = set()
    for index, value in enumerate(values):
        identity = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        if identity in seen:
            yield index
        seen.add(identity)


def unique(path: str, values: Sequence[Any]) -> Errors:
    """Check that no value of a list occurs twice."""
    for index in repeated(values):
        yield FieldError.duplicate(f"{path}[{index}]", values[index])


# A diff shows so many lines of each side, from the first difference on: diffing takes time by their product.
_MOST_LINES = 200


def difference(old: Object, new: Object) -> str:
    """Return a diff of two specs as YAML, for a message; upstream shows a diff of Go structs here."""
    before, after = _yaml_lines(old), _yaml_lines(new)
    common, one, other = "", next(before, ""), next(after, "")
    while one == other and one:
        common, one, other = one, next(before, ""), next(after, "")
    left, right = ([common, first, *islice(rest, _MOST_LINES)] for first, rest in ((one, before), (other, after)))
    lines = list(difflib.unified_diff(left, right, lineterm="", n=1))[2:]
    return "\n".join(line for line in lines if not line.startswith("@@")) + "\n"


def _yaml_lines(value: Any, indent: str = "", first: str = "") -> Iterator[str]:
    """Yield a value as lines of YAML; ``first`` is how the first line begins."""
    begin = first or indent
    if isinstance(value, dict) and value:
        for key in sorted(value):
            child = value[key]
            if isinstance(child, dict | list) and child:
                yield f"{begin}{key}:"
                yield from _yaml_lines(child, indent if isinstance(child, list) else f"{indent}  ")
            else:
                yield f"{begin}{key}: {_yaml_scalar(child)}"
            begin = indent
    elif isinstance(value, list) and value:
        for child in value:
            yield from _yaml_lines(child, f"{indent}  ", f"{begin}- ")
            begin = indent
    else:
        yield f"{begin}{_yaml_scalar(value)}"


def _yaml_scalar(value: Any) -> str:
    if isinstance(value, str):
        return value if value.isprintable() else quote(value)
    return orjson.dumps(value).decode()
