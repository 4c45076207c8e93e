"""The functions that Kubernetes adds to CEL (upstream: apiserver pkg/cel/library): lists, regex, quantities, URLs, IPs.

Quantities, URLs and addresses have types of their own in CEL, but are passed as maps with one entry. The type checker
knows the types and the interpreter the maps, so each function is declared with signatures for both.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from cel_expr_python import cel

from apiserver.crdschema import regex
from apiserver.crdschema.formats import readable
from machinery import quantity

T = cel.Type
_TEXTS = T.List(T.STRING)
_ANY = T.List(T.DYN)
_QUANTITY, _URL, _IP, _CIDR, _FORMAT = (
    T.AbstractType(f"kubernetes.{name}") for name in ("Quantity", "URL", "IP", "CIDR", "NamedFormat")
)
_VALUE = T.Map(T.STRING, T.DYN)
_COMPARABLE = (T.INT, T.UINT, T.DOUBLE, T.BOOL, T.DURATION, T.TIMESTAMP, T.STRING, T.BYTES)


class Function(NamedTuple):
    """A function of CEL; a ``member`` is called as ``value.name(…)``, the others as ``name(…)``.

    ``signatures`` are (parameters, result) for the type checker; those for the interpreter follow from them.
    """

    name: str
    call: Callable[..., Any]
    signatures: Sequence[tuple[Sequence[Any], Any]]
    member: bool = True


def declarations(*, checking: bool) -> list[Any]:
    """Return the declarations of all functions, for the type checker or for the interpreter."""
    names = dict.fromkeys(function.name for function in _FUNCTIONS)
    return [cel.FunctionDecl(name, list(_overloads(name, checking))) for name in names]


def _overloads(name: str, checking: bool) -> Iterable[Any]:
    seen: set[tuple[bool, tuple[str, ...]]] = set()
    for function in _FUNCTIONS:
        if function.name != name:
            continue
        for number, (parameters, result) in enumerate(function.signatures):
            if not checking:
                parameters, result = [_plain(each) for each in parameters], _plain(result)
                identity = (function.member, tuple(each.name() for each in parameters))
                if identity in seen:
                    continue
                seen.add(identity)
            yield cel.Overload(
                f"{name}_{'member' if function.member else 'global'}_{len(parameters)}_{number}",
                return_type=result,
                parameters=list(parameters),
                is_member=function.member,
                impl=function.call,
            )


def _plain(kind: Any) -> Any:
    """Return the interpreter's type for a type of the checker."""
    if any(kind == own for own in (_QUANTITY, _URL, _IP, _CIDR, _FORMAT)):
        return _VALUE
    return _ANY if kind.name().lower().startswith("list") else kind


def _lists(result: Callable[[Any], Any]) -> list[tuple[Sequence[Any], Any]]:
    return [([T.List(kind)], result(kind)) for kind in _COMPARABLE]


def _extreme(choose: Callable[[Any], Any], name: str) -> Callable[[list[Any]], Any]:
    def call(values: list[Any]) -> Any:
        if not values:
            raise ValueError(f"{name} called on empty list")
        return choose(values)

    return call


def _amount(value: Any) -> Decimal:
    return quantity.parse(value["quantity"])


def _as_quantity(amount: Decimal) -> Any:
    # The amount is written in canonical form, so that equal quantities are equal maps.
    return {"quantity": quantity.format_quantity(amount)}


def _operand(value: Any) -> Decimal:
    return Decimal(value) if isinstance(value, int) else _amount(value)


def _integer(value: Any) -> int:
    amount = _amount(value)
    if amount != int(amount):
        raise ValueError("cannot convert value to integer")
    return int(amount)


def _compare(value: Any, other: Any) -> int:
    left, right = _amount(value), _amount(other)
    return (left > right) - (left < right)


def _is_url(text: str) -> bool:
    parts = urlsplit(text)
    return bool(parts.scheme and (parts.netloc or parts.path)) or text.startswith("/")


def _url(text: str) -> Any:
    if not _is_url(text):
        raise ValueError(f'URL parse error during conversion from string: parse "{text}": invalid URI for request')
    return {"url": text}


def _network(text: str) -> Any:
    ipaddress.ip_network(text, strict=False)
    return {"cidr": text}


def _ip(value: Any) -> Any:
    return ipaddress.ip_address(value["ip"] if isinstance(value, dict) else value)


def _cidr(value: Any) -> Any:
    return ipaddress.ip_network(value["cidr"] if isinstance(value, dict) else value, strict=False)


def _of_ip(attribute: str) -> Function:
    name = {"is_global": "isGlobalUnicast", "is_loopback": "isLoopback", "is_unspecified": "isUnspecified"}[attribute]
    return Function(name, lambda value: bool(getattr(_ip(value), attribute)), [([_IP], T.BOOL)])


def _part(name: str, read: Callable[[Any], Any], result: Any = T.STRING) -> Function:
    return Function(name, lambda value: read(urlsplit(value["url"])), [([_URL], result)])


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match.group() for match in regex.compiled(pattern).finditer(text)]
    return found if limit < 0 else found[:limit]


def _find(text: str, pattern: str) -> str:
    match = regex.compiled(pattern).search(text)
    return match.group() if match else ""


_FUNCTIONS: tuple[Function, ...] = (
    Function("isSorted", lambda values: values == sorted(values), _lists(lambda kind: T.BOOL)),
    Function("sum", sum, [([T.List(kind)], kind) for kind in (T.INT, T.DOUBLE, T.UINT)]),
    Function("min", _extreme(min, "min"), _lists(lambda kind: kind)),
    Function("max", _extreme(max, "max"), _lists(lambda kind: kind)),
    Function("sets.contains", lambda a, b: all(x in a for x in b), [([_ANY, _ANY], T.BOOL)], member=False),
    Function("sets.intersects", lambda a, b: any(x in a for x in b), [([_ANY, _ANY], T.BOOL)], member=False),
    Function(
        "sets.equivalent",
        lambda a, b: all(x in a for x in b) and all(x in b for x in a),
        [([_ANY, _ANY], T.BOOL)],
        member=False,
    ),
    Function("find", _find, [([T.STRING, T.STRING], T.STRING)]),
    Function("findAll", _find_all, [([T.STRING, T.STRING], _TEXTS), ([T.STRING, T.STRING, T.INT], _TEXTS)]),
    Function("quantity", lambda text: _as_quantity(quantity.parse(text)), [([T.STRING], _QUANTITY)], member=False),
    Function("isQuantity", readable(quantity.parse), [([T.STRING], T.BOOL)], member=False),
    Function("sign", lambda value: _compare(value, {"quantity": "0"}), [([_QUANTITY], T.INT)]),
    Function("isInteger", lambda value: _amount(value) == int(_amount(value)), [([_QUANTITY], T.BOOL)]),
    Function("asInteger", _integer, [([_QUANTITY], T.INT)]),
    Function("asApproximateFloat", lambda value: float(_amount(value)), [([_QUANTITY], T.DOUBLE)]),
    Function(
        "add",
        lambda a, b: _as_quantity(_amount(a) + _operand(b)),
        [([_QUANTITY, _QUANTITY], _QUANTITY), ([_QUANTITY, T.INT], _QUANTITY)],
    ),
    Function(
        "sub",
        lambda a, b: _as_quantity(_amount(a) - _operand(b)),
        [([_QUANTITY, _QUANTITY], _QUANTITY), ([_QUANTITY, T.INT], _QUANTITY)],
    ),
    Function("isGreaterThan", lambda a, b: _compare(a, b) > 0, [([_QUANTITY, _QUANTITY], T.BOOL)]),
    Function("isLessThan", lambda a, b: _compare(a, b) < 0, [([_QUANTITY, _QUANTITY], T.BOOL)]),
    Function("compareTo", _compare, [([_QUANTITY, _QUANTITY], T.INT)]),
    Function("url", _url, [([T.STRING], _URL)], member=False),
    Function("isURL", _is_url, [([T.STRING], T.BOOL)], member=False),
    _part("getScheme", lambda parts: parts.scheme),
    _part("getHost", lambda parts: parts.netloc.rpartition("@")[2]),
    _part("getHostname", lambda parts: parts.hostname or ""),
    _part("getPort", lambda parts: "" if parts.port is None else str(parts.port)),
    _part("getEscapedPath", lambda parts: parts.path),
    _part("getQuery", lambda parts: parse_qs(parts.query, keep_blank_values=True), T.Map(T.STRING, _TEXTS)),
    Function("ip", lambda text: {"ip": str(ipaddress.ip_address(text))}, [([T.STRING], _IP)], member=False),
    Function("ip", lambda value: {"ip": str(_cidr(value).network_address)}, [([_CIDR], _IP)]),
    Function("isIP", readable(ipaddress.ip_address), [([T.STRING], T.BOOL)], member=False),
    Function("ip.isCanonical", lambda text: str(_ip(text)) == text, [([T.STRING], T.BOOL)], member=False),
    Function("family", lambda value: _ip(value).version, [([_IP], T.INT)]),
    _of_ip("is_global"),
    _of_ip("is_loopback"),
    _of_ip("is_unspecified"),
    Function("isLinkLocalUnicast", lambda value: _ip(value).is_link_local, [([_IP], T.BOOL)]),
    Function("isLinkLocalMulticast", lambda value: _link_local_multicast(_ip(value)), [([_IP], T.BOOL)]),
    Function("cidr", _network, [([T.STRING], _CIDR)], member=False),
    Function("isCIDR", readable(_network), [([T.STRING], T.BOOL)], member=False),
    Function(
        "containsIP",
        lambda value, other: _ip(other) in _cidr(value),
        [([_CIDR, _IP], T.BOOL), ([_CIDR, T.STRING], T.BOOL)],
    ),
    Function(
        "containsCIDR",
        lambda value, other: _cidr(other).subnet_of(_cidr(value)),
        [([_CIDR, _CIDR], T.BOOL), ([_CIDR, T.STRING], T.BOOL)],
    ),
    Function("prefixLength", lambda value: _cidr(value).prefixlen, [([_CIDR], T.INT)]),
    Function("masked", lambda value: {"cidr": str(_cidr(value))}, [([_CIDR], _CIDR)]),
)


def _link_local_multicast(address: Any) -> bool:
    return any(address in ipaddress.ip_network(network) for network in ("224.0.0.0/24", "ff02::/16"))
