"""The query of a write: CreateOptions, UpdateOptions, PatchOptions, DeleteOptions and what may stand in them.

Upstream: apimachinery/pkg/apis/meta/v1/validation. All errors are reported at once, in one Invalid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from apiserver.model import query as parameters
from apiserver.model.patchtypes import APPLY_PATCH
from machinery.errors import BadRequest, FieldError, invalid

FIELD_VALIDATIONS = ("", "Ignore", "Strict", "Warn")
_MANAGER_LENGTH = 128
_KINDS = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}
_POLICIES = ("Foreground", "Background", "Orphan")


def check_write(verb: str, query: Mapping[str, str], query_string: str, content_type: str) -> None:
    """Raise Invalid for options that a create, update or patch does not take."""
    kind = _KINDS.get(verb)
    content_type = content_type.partition(";")[0].strip().lower()
    if kind is None or (not query and content_type != APPLY_PATCH):
        return
    errors = list(_write_errors(verb, query, query_string, content_type))
    if errors:
        raise invalid(f"{kind}.meta.k8s.io", "", errors)


def _write_errors(verb: str, query: Mapping[str, str], query_string: str, content_type: str) -> Iterator[FieldError]:
    if verb == "patch" and content_type == APPLY_PATCH and not query.get("fieldManager"):
        yield FieldError.required("fieldManager", "is required for apply patch")
    if verb == "patch" and content_type != APPLY_PATCH and "force" in query:
        yield FieldError.forbidden("force", "may not be specified for non-apply patch")
    yield from manager_errors(query.get("fieldManager", ""), "fieldManager")
    yield from dry_run_errors(parameters.values(query_string, "dryRun"))
    validation = query.get("fieldValidation", "")
    if validation not in FIELD_VALIDATIONS:
        yield FieldError.not_supported("fieldValidation", validation, FIELD_VALIDATIONS)


def manager_errors(name: str, path: str) -> Iterator[FieldError]:
    """Yield what is wrong with the name of a field manager."""
    if len(name.encode(errors="surrogatepass")) > _MANAGER_LENGTH:
        yield FieldError.too_long(path, _MANAGER_LENGTH)
    position = 0
    for letter in name:
        if not (letter.isprintable() or letter == " "):
            code_point = f"U+{ord(letter):04X}"  # as Go's %#U shows a letter that cannot be printed
            yield FieldError.invalid(path, name, f"invalid character {code_point} (at position {position})")
        position += len(letter.encode(errors="surrogatepass"))


def dry_run_errors(given: Sequence[str]) -> Iterator[FieldError]:
    """Yield an error unless all values are ``All``; an empty one is an error too."""
    if any(value != "All" for value in given):
        yield FieldError.not_supported("dryRun", list(given), ["All"])


def check_delete(options: Mapping[str, Any], dry_run: Sequence[str] = ()) -> None:
    """Raise Invalid for DeleteOptions, or values of ``dryRun``, that are unknown or contradict each other."""
    policy, errors = options.get("propagationPolicy"), []
    if options.get("orphanDependents") is not None and policy is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        errors.append(FieldError.invalid("propagationPolicy", policy, why))
    if policy is not None and policy not in _POLICIES:
        errors.append(FieldError.not_supported("propagationPolicy", policy, [*_POLICIES, "nil"]))
    errors += dry_run_errors(options.get("dryRun") or dry_run)
    if errors:
        raise invalid("DeleteOptions.meta.k8s.io", "", errors)


def check_table(query: Mapping[str, str]) -> str:
    """Return how much of an object a Table's row carries: Metadata, Object or None. Raises BadRequest."""
    included = query.get("includeObject", "")
    if included not in ("", "Metadata", "Object", "None"):
        why = "must be 'Metadata', 'Object', 'None', or empty"
        error = FieldError.invalid("includeObject", included, why)
        raise BadRequest(f"Unable to convert to Table as requested: {error}")
    return included or "Metadata"
