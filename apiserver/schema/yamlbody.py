"""Read YAML as upstream does: sigs.k8s.io/yaml, which decodes it with go-yaml v2 and converts the result to JSON.

PyYAML's parser composes the nodes; what they mean is for go-yaml's rules (goyaml.v2, resolve.go and decode.go), which
differ from PyYAML's: ``1:30`` and ``2020-01-01`` are strings, ``y`` is true, numbers that do not fit are strings, tags
that nobody knows are ignored. Each node is visited once, aliases as often as they are used: their expansion has
upstream's limit.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any, NamedTuple

import yaml

from machinery.errors import quote

_TAGS = "tag:yaml.org,2002:"
_STRING = f"{_TAGS}str"
_MERGE = f"{_TAGS}merge"
# Documents of up to so many nodes may consist of aliases to 99 %, larger ones to less and less (decode.go).
_LOW, _HIGH = 400_000, 4_000_000


# PyYAML makes about so many nodes in a second. JSON is read a hundred times as fast.
_MOST_NODES = 300_000


class YamlError(ValueError):
    """A body that is no YAML, or that has no JSON form; the text is upstream's."""


class Document(NamedTuple):
    """The value of a document, and a line about each key that occurs twice in a map."""

    value: Any
    duplicates: list[str]


def load(body: bytes) -> Document:
    """Return the first document of a body, whose value is None if there is none; raises YamlError."""
    try:
        loader = _Composer(body)
        try:
            root = loader.get_node() if loader.check_node() else None
        finally:
            loader.dispose()
        reader = _Reader()
        return Document(None if root is None else reader.value(root), reader.duplicates)
    except RecursionError:
        raise YamlError("yaml: exceeded max depth") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise YamlError(_words(error)) from None


def _words(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"yaml: line {mark.line + 1}: {problem}" if mark else f"yaml: {problem}"


class _Composer(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the C one where it was built
    """Composes nodes; the tag of a node is None if it has none and is not quoted."""

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self._left = _MOST_NODES

    def resolve(self, kind: type[yaml.Node], value: str, implicit: Any) -> str | None:
        self._left -= 1
        if self._left < 0:
            raise YamlError(f"yaml: document has more than {_MOST_NODES} nodes: send it as JSON")
        return None if implicit is True or (implicit and implicit[0]) or kind is not yaml.ScalarNode else _STRING

    def descend_resolver(self, current_node: yaml.Node | None, current_index: Any) -> None:
        """Do nothing: PyYAML looks here for resolvers that depend on the path, which there are none of."""

    def ascend_resolver(self) -> None:
        """Do nothing, as ``descend_resolver``."""


class _Reader:
    """Makes values out of the nodes of one document."""

    def __init__(self) -> None:
        self.duplicates: list[str] = []
        self._seen: set[int] = set()  # collections that have been read: those that are met again are aliased
        self._open: set[int] = set()  # collections that are being read
        self._decoded = self._aliased = self._alias_depth = 0

    def value(self, node: yaml.Node) -> Any:
        """Return the value of a node, with aliases expanded and keys made strings."""
        self._count()
        if type(node) is yaml.ScalarNode:
            return _json(_plain(node.value) if node.tag is None else _tagged(node.tag, node.value))
        aliased = self._enter(node)
        found: Any
        if type(node) is yaml.SequenceNode:
            found = [self.value(child) for child in node.value]
        else:
            self._read_pairs(node, found := {}, set())
        self._leave(node, aliased)
        return found

    def _enter(self, node: yaml.Node) -> bool:
        """Begin to read a list or map; return True if an alias leads there. Raises YamlError if it is in itself."""
        identity = id(node)
        if identity in self._open:
            raise YamlError("yaml: anchor value contains itself")
        aliased = identity in self._seen
        self._alias_depth += aliased
        self._seen.add(identity)
        self._open.add(identity)
        return aliased

    def _leave(self, node: yaml.Node, aliased: bool) -> None:
        self._open.discard(id(node))
        self._alias_depth -= aliased

    def _read_pairs(self, node: yaml.Node, found: dict[str, Any], keys: set[tuple[type, Any]]) -> None:
        for key, child in node.value:
            if type(key) is not yaml.ScalarNode:
                raise YamlError("yaml: invalid map key: a list or map")
            if key.tag == _MERGE or (key.tag is None and key.value == "<<"):
                self._merge(child, found)
                continue
            self._count()
            plain = _plain(key.value) if key.tag is None else _tagged(key.tag, key.value)
            if (type(plain), plain) in keys:
                shown = quote(plain) if isinstance(plain, str) else _key(plain)
                self.duplicates.append(f"line {child.start_mark.line + 1}: key {shown} already set in map")
            keys.add((type(plain), plain))
            found[_key(plain)] = self.value(child)

    def _merge(self, node: yaml.Node, found: dict[str, Any]) -> None:
        """Add the pairs of the maps that a merge key has as its value; a key that is there already is no duplicate."""
        maps = reversed(node.value) if type(node) is yaml.SequenceNode else [node]
        for each in maps:
            if type(each) is not yaml.MappingNode:
                raise YamlError("yaml: map merge requires map or sequence of maps as the value")
            self._count()
            aliased = self._enter(each)
            self._read_pairs(each, found, set())
            self._leave(each, aliased)

    def _count(self) -> None:
        """Count a node; raise YamlError if too many of the document's nodes come from aliases."""
        self._decoded += 1
        if not self._alias_depth:
            return
        self._aliased += 1
        if self._aliased > 100 and self._decoded > 1000:
            beyond = min(max(self._decoded - _LOW, 0) / (_HIGH - _LOW), 1.0)
            if self._aliased / self._decoded > 0.99 - 0.89 * beyond:
                raise YamlError("yaml: document contains excessive aliasing")


_WORDS: dict[str, Any] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_MAYBE_WORD = frozenset("yYnNtTfFoO~")
_MAYBE_NUMBER = frozenset(".+-0123456789")
_SMALL = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
# The forms of Go's integers, with the base of each (strconv.ParseInt with base 0).
_INTEGERS = (
    (re.compile(r"([-+]?)(0|[1-9][0-9]{0,19})", re.ASCII), 10),
    (re.compile(r"([-+]?)0[xX]([0-9a-fA-F]+)", re.ASCII), 16),
    (re.compile(r"([-+]?)0[bB]([01]+)", re.ASCII), 2),
    (re.compile(r"([-+]?)0[oO]?([0-7]+)", re.ASCII), 8),
)
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]+)?(Z|[-+][0-9:]+)?)?", re.ASCII
)


def _plain(text: str) -> Any:
    """Return what a scalar without quotes and tag means: None, a boolean, a number or the text itself."""
    first = text[:1]
    if first in _MAYBE_WORD or not first:
        return _WORDS.get(text, text)
    return _number(text) if first in _MAYBE_NUMBER else text


def _number(text: str) -> Any:
    if _SMALL.fullmatch(text):
        return int(text)
    if text in _WORDS:
        return _WORDS[text]
    digits = text.replace("_", "") if text[0] != "." else text
    for form, base in _INTEGERS:
        if match := form.fullmatch(digits):
            number = int(match[1] + match[2], base)
            if -(2**63) <= number < (2**63 if match[1] else 2**64):
                return number
    value = float(digits) if _FLOAT.fullmatch(digits) else math.inf
    return value if math.isfinite(value) else text


def _tagged(tag: str, text: str) -> Any:
    """Return what a scalar means that has a tag or is quoted; a tag that nobody knows means nothing."""
    if tag == _STRING:
        return text
    short = tag.removeprefix(_TAGS) if tag.startswith(_TAGS) else ""
    if short == "binary":
        try:
            # Go drops line breaks from base64, and its JSON encoder replaces what is no UTF-8.
            content = base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
        except (binascii.Error, ValueError):
            raise YamlError("yaml: !!binary value contains invalid base64 data") from None
        return content.decode(errors="replace")
    if short not in ("null", "bool", "int", "float", "timestamp"):
        return text
    value = _plain(text)
    found = _type_of(value, text)
    if found != short and (found, short) != ("int", "float"):
        raise YamlError(f"yaml: cannot decode !!{found} `{text}` as a !!{short}")
    return value


def _type_of(value: Any, text: str) -> str:
    if isinstance(value, str):
        return "timestamp" if _TIME.fullmatch(text) else "str"
    return {bool: "bool", int: "int", float: "float"}.get(type(value), "null")


def _json(value: Any) -> Any:
    """Return a scalar as Go's encoder writes it: whole floats have no fraction. Raises YamlError."""
    if type(value) is not float:
        return value
    if not math.isfinite(value):
        raise YamlError(f"json: unsupported value: {_go(value)}")
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, float):
        return {"+Inf": ".inf", "-Inf": "-.inf", "NaN": ".nan"}.get(_go(key), _go(key))
    if isinstance(key, str | int):
        return str(key)
    raise YamlError("Unsupported map key of type: %!s(<nil>), key: <nil>")


def _go(number: float) -> str:
    if math.isfinite(number):
        return f"{number:g}"
    return "NaN" if math.isnan(number) else "+Inf" if number > 0 else "-Inf"
