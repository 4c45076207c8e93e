"""Check CustomResourceDefinitions, with upstream's messages (apiextensions-apiserver validation.go).

Upstream converts a definition to its internal version, in which what is the same in all versions is at the top of the
spec, before it checks it. Its error paths are therefore ``spec.validation.openAPIV3Schema`` and the like for a
definition with one version, and so are these.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from apiserver.crdschema import defaults, fieldpath
from apiserver.crdschema.openapischema import check_schema
from apiserver.crdschema.structural import RULES, Errors, Schema, check_structural, rule_characters, says
from apiserver.model import checks
from machinery import validation
from machinery.errors import FieldError, quote
from machinery.objects import Object

APPROVED = "api-approved.kubernetes.io"
_APPROVAL_RULE = f'protected groups must have approval annotation "{APPROVED}"'
_APPROVAL_PLACE = "see https://github.com/kubernetes/enhancements/pull/1111"
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
MOST_SELECTABLE_FIELDS = 8
# This limit is this server's own: all rules are compiled while the client waits.
MOST_RULE_CHARACTERS = 100_000


def default(obj: Object) -> None:
    """Fill in upstream's defaults, in place (SetDefaults_CustomResourceDefinition)."""
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    kind = names.get("kind", "")
    if kind and not names.get("singular"):
        names["singular"] = kind.lower()
    if kind and not names.get("listKind"):
        names["listKind"] = f"{kind}List"
    spec.setdefault("conversion", {"strategy": "None"})
    webhook = spec["conversion"].get("webhook") or {}
    if service := (webhook.get("clientConfig") or {}).get("service"):
        service.setdefault("port", 443)


def check(obj: Object) -> list[FieldError]:
    """Return everything that is wrong with a new definition."""
    spec, metadata = obj["spec"], obj["metadata"]
    return [*_name(metadata, spec), *_spec(spec, {}), *_stored_versions(obj), *_approval(obj, None)]


def check_update(new: Object, old: Object) -> list[FieldError]:
    """Return everything that is wrong with a changed definition."""
    spec, before = new["spec"], old["spec"]
    found = list(_spec(spec, before))
    fixed = [("group",), ("names", "plural")]
    if is_true(old, "Established"):
        fixed = [("scope",), ("names", "kind"), *fixed]
    for path in fixed:
        value = _at(spec, path)
        if value != _at(before, path):
            found.append(FieldError.invalid(f"spec.{'.'.join(path)}", value, "field is immutable"))
    return [*found, *_stored_versions(new), *_approval(new, old)]


def check_names(path: str, names: Object) -> Errors:
    """Yield what is wrong with the form of names: ``spec.names`` or ``status.acceptedNames``."""
    for field in ("plural", "singular", "kind", "listKind"):
        name, why = names.get(field) or "", ""
        if field in ("kind", "listKind"):
            why = "may have mixed case, but should otherwise match: "
        if name and (errors := validation.is_dns1035_label(name.lower() if why else name)):
            yield FieldError.invalid(f"{path}.{field}", name, why + ",".join(errors))
    yield from _labels(f"{path}.shortNames", names.get("shortNames") or ())
    if names.get("kind") and names["kind"] == names.get("listKind"):
        yield FieldError.invalid(f"{path}.listKind", names["listKind"], "kind and listKind may not be the same")
    yield from _labels(f"{path}.categories", names.get("categories") or ())


def is_true(obj: Object, condition: str) -> bool:
    """Return True if the definition's status has a condition with status True."""
    found = (obj.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == condition and each.get("status") == "True" for each in found)


def storage_version(spec: Object) -> str:
    """Return the name of the version that objects are stored in, "" if none is marked."""
    return next((str(version["name"]) for version in spec.get("versions") or () if version.get("storage")), "")


def is_protected(group: str) -> bool:
    """Return True for the groups that belong to Kubernetes itself, in which definitions need an approval."""
    return any(group == owned or group.endswith(f".{owned}") for owned in ("k8s.io", "kubernetes.io"))


def approval(obj: Object) -> tuple[str, str]:
    """Return Approved, Unapproved, Missing or Invalid, and why (upstream: GetAPIApprovalState)."""
    text = (obj["metadata"].get("annotations") or {}).get(APPROVED, "")
    if not text:
        return "Missing", f"{_APPROVAL_RULE}, {_APPROVAL_PLACE}"
    if text.startswith("unapproved"):
        return "Unapproved", f'not approved: "{text}"'
    url = urlsplit(text)
    if url.scheme and url.netloc:
        return "Approved", f"approved in {text}"
    return "Invalid", f'{_APPROVAL_RULE} with either a URL or a reason starting with "unapproved", {_APPROVAL_PLACE}'


def _at(value: Any, path: Iterable[str]) -> Any:
    for part in path:
        value = (value or {}).get(part)
    return value


def _name(metadata: Object, spec: Object) -> Errors:
    name, names = metadata.get("name", ""), spec.get("names") or {}
    if name != f"{names.get('plural', '')}.{spec.get('group', '')}":
        yield FieldError.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')


def _labels(path: str, names: Iterable[str]) -> Errors:
    for index, name in enumerate(names):
        if errors := validation.is_dns1035_label(name):
            yield FieldError.invalid(f"{path}[{index}]", name, ",".join(errors))


def _spec(spec: Object, before: Object) -> Errors:
    yield from _group(spec.get("group", ""))
    yield from checks.one_of("spec.scope", spec.get("scope"), ("Cluster", "Namespaced"))
    versions = spec.get("versions") or []
    for index, version in enumerate(versions):
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            yield FieldError.required(f"spec.versions[{index}].schema.openAPIV3Schema", "schemas are required")
        if errors := validation.is_dns1035_label(version.get("name", "")):
            yield FieldError.invalid(f"spec.versions[{index}].name", version.get("name", ""), ",".join(errors))
        yield from _deprecation(f"spec.versions[{index}].deprecationWarning", version)
    names = [version.get("name") for version in versions]
    if len(set(names)) != len(names):
        yield FieldError.invalid("spec.versions", versions, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        why = "must have exactly one version marked as storage version"
        yield FieldError.invalid("spec.versions", versions, why)
    spec_names = spec.get("names") or {}
    for field in ("plural", "singular", "kind", "listKind"):
        yield from checks.required(f"spec.names.{field}", spec_names.get(field))
    yield from check_names("spec.names", spec_names)
    yield from _versions(versions, _schemas(before))
    yield from _conversion(spec.get("conversion") or {})
    if spec.get("preserveUnknownFields"):
        why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        yield FieldError.invalid("spec.preserveUnknownFields", True, why)


def _group(group: str) -> Errors:
    if not group:
        yield FieldError.required("spec.group")
    elif errors := validation.is_dns1123_subdomain(group):
        yield FieldError.invalid("spec.group", group, ",".join(errors))
    elif "." not in group:
        yield FieldError.invalid("spec.group", group, "should be a domain with at least one dot")


def _deprecation(path: str, version: Object) -> Errors:
    text = version.get("deprecationWarning")
    if text is None:
        return
    if not version.get("deprecated"):
        yield FieldError.invalid(path, text, "can only be set for deprecated versions")
    if len(text.encode()) > 256:
        yield FieldError.invalid(path, text, "must be <= 256 characters long")
    if not text:
        yield FieldError.invalid(path, text, "must not be an empty string")
    for index, character in enumerate(text):
        if not character.isprintable():
            why = f"must only contain printable UTF-8 characters; non-printable character found at index {index}"
            yield FieldError.invalid(path, text, why)
            return


def _schemas(spec: Object) -> dict[str, Schema]:
    """Return the schema of each version, by name."""
    versions = spec.get("versions") or ()
    return {version.get("name", ""): (version.get("schema") or {}).get("openAPIV3Schema") or {} for version in versions}


def _versions(versions: list[Object], before: Mapping[str, Schema]) -> Errors:
    """Check schema, subresources, columns and selectable fields of all versions; ``before`` has their old schemas."""
    rule_room = MOST_RULE_CHARACTERS
    for path, version, its in _parts(versions, "schema", "validation", {"openAPIV3Schema": {}}):
        schema = its.get("openAPIV3Schema") or {}
        rule_room -= rule_characters(schema)
        if rule_room < 0:
            why = f"{RULES} must not have more than {MOST_RULE_CHARACTERS} characters in all versions"
            yield FieldError.forbidden(f"{path}.openAPIV3Schema", why)
            return
        status, changed = "status" in (version.get("subresources") or {}), schema != before.get(version.get("name", ""))
        yield from _schema(f"{path}.openAPIV3Schema", schema, status=status, changed=changed)
    for path, _, subresources in _parts(versions, "subresources", "subresources", {}):
        if (scale := subresources.get("scale")) is not None:
            yield from _scale(f"{path}.scale", scale)
    for path, _, columns in _parts(versions, "additionalPrinterColumns", "additionalPrinterColumns", []):
        for index, column in enumerate(columns):
            yield from _column(f"{path}[{index}]", column)
    for path, version, fields in _parts(versions, "selectableFields", "selectableFields", []):
        schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        yield from _selectable(path, fields, schema)


def _parts(versions: list[Object], field: str, top: str, empty: Any) -> Iterator[tuple[str, Object, Any]]:
    """Yield path, version and value of a part of each version; once, at the top, if it is the same in all of them."""
    if versions and all(version.get(field) == versions[0].get(field) for version in versions):
        status = next((version for version in versions if "status" in (version.get("subresources") or {})), versions[0])
        yield f"spec.{top}", status, versions[0].get(field) or empty
        return
    for index, version in enumerate(versions):
        yield f"spec.versions[{index}].{field}", version, version.get(field) or empty


def _schema(path: str, schema: Schema, *, status: bool, changed: bool) -> Errors:
    if not schema:
        return  # a missing schema has already been reported
    found = list(check_schema(path, schema, status=status))
    structure = check_structural(path, schema)
    # Defaults and rules can only be checked by a schema that is itself valid.
    more = structure or defaults.check_defaults(path, schema)
    yield from (*found, *more)
    # Rules that are in use stay, whatever they cost and whatever a newer server would say of them.
    if changed and not found and not structure and says(schema, RULES):
        from apiserver.crdschema.celcheck import check_rules

        yield from check_rules(path, schema)


def _scale(path: str, scale: Object) -> Errors:
    for field, roots, where in (
        ("specReplicasPath", (".spec.",), "under .spec"),
        ("statusReplicasPath", (".status.",), "under .status"),
        ("labelSelectorPath", (".spec.", ".status."), "under either .spec or .status"),
    ):
        text = scale.get(field) or ""
        if not text:
            if field != "labelSelectorPath":
                yield FieldError.required(f"{path}.{field}")
        elif errors := list(_simple_path(f"{path}.{field}", text)):
            yield from errors
        elif not text.startswith(roots):
            yield FieldError.invalid(f"{path}.{field}", text, f"should be a json path {where}")


def _simple_path(path: str, text: str) -> Errors:
    if not text.startswith("."):
        yield FieldError.invalid(path, text, "must be a simple json path starting with .")


def _column(path: str, column: Object) -> Errors:
    yield from checks.required(f"{path}.name", column.get("name"))
    kind, why = column.get("type") or "", f"must be one of {','.join(_COLUMN_TYPES)}"
    if not kind:
        yield FieldError.required(f"{path}.type", why)
    elif kind not in _COLUMN_TYPES:
        yield FieldError.invalid(f"{path}.type", kind, why)
    if column.get("format") and column["format"] not in _COLUMN_FORMATS:
        why = f"must be one of {','.join(_COLUMN_FORMATS)}"
        yield FieldError.invalid(f"{path}.format", column["format"], why)
    yield from checks.required(f"{path}.JSONPath", column.get("jsonPath"), _simple_path)


def _selectable(path: str, fields: list[Object], schema: Schema) -> Errors:
    if len(fields) > MOST_SELECTABLE_FIELDS:
        yield FieldError.too_many(path, len(fields), MOST_SELECTABLE_FIELDS)
    seen: set[str] = set()
    for index, field in enumerate(fields):
        at, text = f"{path}[{index}].jsonPath", field.get("jsonPath") or ""
        if not text:
            yield FieldError.required(at)
            continue
        if text in seen:
            yield FieldError.duplicate(at, text)
        seen.add(text)
        try:
            place = fieldpath.find(text, schema, brackets=False)
        except ValueError as error:
            yield FieldError.invalid(at, text, f"is an invalid path: {error}")
            continue
        if re.match(r"\.metadata\b", text):
            yield FieldError.invalid(at, text, "must not point to fields in metadata")
        if place.schema.get("type") not in ("string", "boolean", "integer") or place.schema.get("nullable"):
            why = (
                "must point to a field of type string, boolean or integer. "
                "Enum string fields and strings with formats are allowed."
            )
            yield FieldError.invalid(at, text, why)


def _conversion(conversion: Object) -> Errors:
    path, webhook = "spec.conversion", conversion.get("webhook")
    yield from checks.one_of(f"{path}.strategy", conversion.get("strategy"), ("None", "Webhook"))
    client, versions = (webhook or {}).get("clientConfig"), (webhook or {}).get("conversionReviewVersions") or []
    if conversion.get("strategy") != "Webhook":
        why = "should not be set when strategy is not set to Webhook"
        if client:
            yield FieldError.forbidden(f"{path}.webhookClientConfig", why)
        if versions:
            yield FieldError.forbidden(f"{path}.conversionReviewVersions", why)
        return
    if client is None:
        yield FieldError.required(f"{path}.webhookClientConfig", "required when strategy is set to Webhook")
    elif (client.get("url") is None) == (client.get("service") is None):
        yield FieldError.required(f"{path}.webhookClientConfig", "exactly one of url or service is required")
    elif client.get("url") is not None:
        yield from _webhook_url(f"{path}.webhookClientConfig.url", client["url"])
    else:
        yield from _webhook_service(f"{path}.webhookClientConfig.service", client["service"])
    yield from _review_versions(f"{path}.conversionReviewVersions", versions)


def _webhook_url(path: str, text: str) -> Errors:
    form = "; desired format: https://host[/path]"
    try:
        url = urlsplit(text)
        _ = url.port  # raises ValueError, too
    except ValueError as error:
        yield FieldError.required(path, f"url must be a valid URL: parse {quote(text)}: {error}{form}")
        return
    if url.scheme != "https":
        yield FieldError.invalid(path, url.scheme, f"'https' is the only allowed URL scheme{form}")
    user, _, host = url.netloc.rpartition("@")
    if not host:
        yield FieldError.invalid(path, host, f"host must be provided{form}")
    if user:
        yield FieldError.invalid(path, user, "user information is not permitted in the URL")
    if url.fragment:
        yield FieldError.invalid(path, url.fragment, "fragments are not permitted in the URL")
    if url.query:
        yield FieldError.invalid(path, url.query, "query parameters are not permitted in the URL")


def _webhook_service(path: str, service: Object) -> Errors:
    for field in ("name", "namespace"):
        if not service.get(field):
            yield FieldError.required(f"{path}.{field}", f"service {field} is required")
    if errors := validation.is_port_number(service.get("port", 443)):
        yield FieldError.invalid(f"{path}.port", service["port"], f"port is not valid: {', '.join(errors)}")
    text = service.get("path") or "/"
    if text == "/":
        return
    if text == "//":
        yield FieldError.invalid(f"{path}.path", text, "segment[0] may not be empty")
        return
    if not text.startswith("/"):
        yield FieldError.invalid(f"{path}.path", text, "must start with a '/'")
    for index, step in enumerate(text[1:].removesuffix("/").split("/")):
        if not step:
            yield FieldError.invalid(f"{path}.path", text, f"segment[{index}] may not be empty")
        for error in validation.is_dns1123_subdomain(step) if step else ():
            yield FieldError.invalid(f"{path}.path", text, f"segment[{index}]: {error}")


def _review_versions(path: str, versions: list[str]) -> Errors:
    if not versions:
        yield FieldError.required(path)
        return
    seen: set[str] = set()
    for index, version in enumerate(versions):
        if version in seen:
            yield FieldError.invalid(f"{path}[{index}]", version, "duplicate version")
            continue
        seen.add(version)
        for error in validation.is_dns1035_label(version):
            yield FieldError.invalid(f"{path}[{index}]", version, error)
    if not {"v1", "v1beta1"} & seen:
        yield FieldError.invalid(path, versions, "must include at least one of v1, v1beta1")


def _stored_versions(obj: Object) -> Errors:
    stored = (obj.get("status") or {}).get("storedVersions") or []
    names = [version.get("name") for version in obj["spec"].get("versions") or ()]
    storage, path = storage_version(obj["spec"]), "status.storedVersions"
    if not stored:
        yield FieldError.invalid(path, stored, "must have at least one stored version")
        return
    if storage and storage not in stored:
        yield FieldError.invalid(path, stored, f"must have the storage version {storage}")
    for index, name in enumerate(stored):
        if name not in names:
            yield FieldError.invalid(f"{path}[{index}]", name, "must appear in spec.versions")


def _approval(new: Object, old: Object | None) -> Errors:
    if not is_protected(new["spec"].get("group", "")):
        return
    state, why = approval(new)
    if old is not None and approval(old)[0] == state:
        return
    path = f"metadata.annotations[{APPROVED}]"
    if state == "Missing":
        yield FieldError.required(path, why)
    elif state == "Invalid":
        yield FieldError.invalid(path, new["metadata"]["annotations"][APPROVED], why)
