"""Content negotiation: which form an answer has, by the Accept header and what a path can serve.

Upstream's rule (apiserver endpoints/handlers/negotiation): clauses are tried by quality, then in their order. One that
the path does not have is skipped, and only when none is left is the answer 406. So a client that prefers protobuf but
also accepts JSON gets custom resources, which have no form in protobuf, in JSON. Their metadata have one; Tables have
none (upstream: RequestScope.AllowsMediaTypeTransform).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from apiserver.schema import protobuf, yamltext
from machinery.errors import NotAcceptable
from machinery.objects import Object

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
ACCEPTED = (JSON, YAML, PROTOBUF)


class Transform(NamedTuple):
    """The kind into which an answer is transformed, as ``;as=Table;g=meta.k8s.io;v=v1`` asks for it."""

    kind: str
    group: str
    version: str


META_VERSIONS = ("v1", "v1beta1")
_META = "meta.k8s.io"
_META_KINDS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
OBJECTS = frozenset(Transform(kind, _META, version) for version in META_VERSIONS for kind in _META_KINDS)
AGGREGATED_DISCOVERY = frozenset(
    Transform("APIGroupDiscoveryList", "apidiscovery.k8s.io", v) for v in ("v2", "v2beta1")
)
NONE: frozenset[Transform] = frozenset()


class Form(NamedTuple):
    """The form that was negotiated."""

    media_type: str = JSON
    transform: Transform | None = None
    pretty: bool = False

    @property
    def is_table(self) -> bool:
        """Whether the answer is a Table."""
        return self.transform is not None and self.transform.kind == "Table"

    @property
    def content_type(self) -> str:
        """The Content-Type of the answer; as upstream's, it names the transformation of discovery."""
        if self.transform is not None and self.transform.kind == "APIGroupDiscoveryList":
            kind, group, version = self.transform
            return f"{self.media_type};g={group};v={version};as={kind}"
        return self.media_type


class _Clause(NamedTuple):
    type: str
    subtype: str
    parameters: dict[str, str]


@lru_cache(maxsize=256)
def negotiate(
    accept: str,
    transforms: frozenset[Transform] = NONE,
    accepted: tuple[str, ...] = ACCEPTED,
    *,
    custom: bool = False,
) -> Form:
    """Return the first form that the header asks for and the path has; raises NotAcceptable.

    ``custom`` is a path of custom resources.
    """
    if not accept.strip():
        return Form(accepted[0])
    for clause in _clauses(accept):
        media_type = _match(clause, accepted)
        if media_type is None:
            continue
        pretty = clause.parameters.get("pretty", "") == "1"
        kind = clause.parameters.get("as", "")
        if media_type == PROTOBUF and (kind == "Table" or (custom and not kind)):
            continue
        if not kind:
            return Form(media_type, None, pretty)
        transform = Transform(kind, clause.parameters.get("g", ""), clause.parameters.get("v", ""))
        if transform in transforms:
            return Form(media_type, transform, pretty)
    raise not_acceptable(accepted)


def form_of(
    environ: Mapping[str, Any],
    query: Mapping[str, str],
    transforms: frozenset[Transform] = NONE,
    accept: str = "",
    *,
    custom: bool = False,
) -> Form:
    """Return the form of the answer to a request, indented if ``wants_pretty`` says so; raises NotAcceptable."""
    form = negotiate(accept or environ.get("HTTP_ACCEPT", ""), transforms, custom=custom)
    return form._replace(pretty=True) if wants_pretty(environ, query) else form


def wants_pretty(environ: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    """Return whether to indent: ``?pretty=true``, or by default for curl and browsers (upstream: isPrettyPrint)."""
    asked = query.get("pretty")
    if asked:
        return asked in ("1", "t", "T", "true", "TRUE", "True")
    agent: str = environ.get("HTTP_USER_AGENT", "")
    return agent.startswith(("curl", "Wget", "Mozilla/5.0"))


def list_form(form: Form, go_type: str) -> Form:
    """Return the form for a list; raises NotAcceptable for that of a single object."""
    if form.transform is not None and form.transform.kind == "PartialObjectMetadata":
        raise NotAcceptable(f"you requested PartialObjectMetadata, but the requested object is a list ({go_type}List)")
    return form


def single_form(form: Form, go_type: str) -> Form:
    """Return the form for one object; raises NotAcceptable for that of a list."""
    if form.transform is not None and form.transform.kind == "PartialObjectMetadataList":
        why = f"you requested PartialObjectMetadataList, but the requested object is not a list ({go_type})"
        raise NotAcceptable(why)
    return form


def stream_form(form: Form, go_type: str) -> Form:
    """Return the form for a watch's objects; raises NotAcceptable for YAML, which cannot be a stream."""
    if form.media_type == YAML:
        raise not_acceptable((f"{JSON};stream=watch", f"{PROTOBUF};stream=watch"))
    return single_form(form, go_type)


def not_acceptable(accepted: Collection[str] = ACCEPTED) -> NotAcceptable:
    """Return upstream's 406."""
    return NotAcceptable(f"only the following media types are accepted: {', '.join(accepted)}")


def _clauses(accept: str) -> list[_Clause]:
    """Return the header's clauses by falling quality; those of equal quality stay in the client's order."""
    found: list[tuple[float, _Clause]] = []
    for text in accept.split(","):
        media_type, *rest = (part.strip() for part in text.split(";"))
        kind, slash, subtype = media_type.lower().partition("/")
        if not slash:
            if kind != "*":
                continue
            subtype = "*"
        parameters = {name.strip(): value.strip().strip('"') for name, _, value in (p.partition("=") for p in rest)}
        quality = _quality(parameters.pop("q", "1"))
        if quality > 0:
            found.append((quality, _Clause(kind, subtype, parameters)))
    return [clause for _, clause in sorted(found, key=lambda pair: -pair[0])]


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0


def _match(clause: _Clause, accepted: tuple[str, ...]) -> str | None:
    for media_type in accepted:
        kind, _, subtype = media_type.partition("/")
        if clause.type in (kind, "*") and clause.subtype in (subtype, "*"):
            return media_type
    return None


def encode(obj: Object, form: Form) -> bytes:
    """Return the object as bytes in the negotiated form."""
    if form.media_type == PROTOBUF:
        return protobuf.serialize(obj)
    if form.media_type == YAML:
        return yamltext.dump(obj)
    return orjson.dumps(obj, option=orjson.OPT_APPEND_NEWLINE | (orjson.OPT_INDENT_2 if form.pretty else 0))
