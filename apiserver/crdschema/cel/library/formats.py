"""Named formats: ``format.dns1123Label().validate(text)`` (upstream: apiserver pkg/cel/library/format.go)."""

from __future__ import annotations

from collections.abc import Callable

from apiserver.crdschema import formats
from apiserver.crdschema.cel import types
from apiserver.crdschema.cel.declarations import Function, functions, overload
from apiserver.crdschema.cel.library import urls
from apiserver.crdschema.cel.values import NONE, EvaluationError, Opaque, Optional
from machinery import validation

_TYPE = types.object_type("kubernetes.NamedFormat")


class NamedFormat(Opaque):
    """A format; ``pattern_size`` is by what upstream charges a check."""

    type = _TYPE

    def __init__(self, validate: Callable[[str], list[str]], pattern_size: int) -> None:
        self.validate = validate
        self.pattern_size = pattern_size

    __hash__ = Opaque.__hash__


def _prefix(check: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """Check a name that something is appended to, so that it may end in a dash (upstream: maskTrailingDash)."""

    def call(text: str) -> list[str]:
        masked = f"{text[:-2]}a" if len(text) > 1 and text.endswith("-") else text
        return check(masked)

    return call


def _known(name: str, why: str) -> Callable[[str], list[str]]:
    check = formats.known(name)
    assert check is not None
    return lambda text: [] if check(text) else [why]


def _uri(text: str) -> list[str]:
    try:
        urls.parse(text)
    except EvaluationError as error:
        return [str(error)]
    return []


_FORMATS: dict[str, NamedFormat] = {
    "dns1123Label": NamedFormat(validation.is_dns1123_label, 30),
    "dns1123Subdomain": NamedFormat(validation.is_dns1123_subdomain, 60),
    "dns1035Label": NamedFormat(validation.is_dns1035_label, 30),
    "qualifiedName": NamedFormat(validation.is_qualified_name, 60),
    "dns1123LabelPrefix": NamedFormat(_prefix(validation.is_dns1123_label), 30),
    "dns1123SubdomainPrefix": NamedFormat(_prefix(validation.is_dns1123_subdomain), 60),
    "dns1035LabelPrefix": NamedFormat(_prefix(validation.is_dns1035_label), 30),
    "labelValue": NamedFormat(validation.is_label_value, 40),
    "uri": NamedFormat(_uri, 2_048),
    "uuid": NamedFormat(_known("uuid", "does not match the UUID format"), 100),
    "byte": NamedFormat(_known("byte", "invalid base64"), 80),
    "date": NamedFormat(_known("date", "invalid date"), 120),
    "datetime": NamedFormat(_known("date-time", "invalid datetime"), 120),
}


def _named(name: str) -> Optional:
    found = _FORMATS.get(name)
    return NONE if found is None else Optional(found, present=True)


def _validate(named: NamedFormat, text: str) -> Optional:
    found = named.validate(text)
    return Optional(found, present=True) if found else NONE


def _constant(name: str) -> Callable[[], NamedFormat]:
    return lambda: _FORMATS[name]


_F = _TYPE.name
FORMATS: list[Function] = functions(
    ("validate", [overload("format-validate", f"{_F}.(string) -> optional(list(string))", _validate)]),
    ("format.named", [overload("format-named", f"(string) -> optional({_F})", _named)]),
    *((f"format.{name}", [overload(f"format.{name}", f"() -> {_F}", _constant(name))]) for name in _FORMATS),
)
