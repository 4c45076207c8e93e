"""The errors of the API: raised in the server, sent as a v1 Status, and raised again in the client.

    ApiError                         code, reason, and when it is raised
    ├── BadRequest                   400  the request cannot be understood
    ├── Unauthorized                 401  the server does not know who asks
    ├── Forbidden                    403  it knows, and that user may not; or admission refuses
    ├── NotFound                     404
    ├── MethodNotAllowed             405  the resource does not have this verb
    ├── NotAcceptable                406  no common media type for the answer
    ├── AlreadyExists                409  create: the name is taken
    ├── Conflict                     409  update: the object has changed since it was read
    ├── Gone                         410  Expired: a resourceVersion is too old; list again
    ├── RequestEntityTooLarge        413
    ├── UnsupportedMediaType         415  of the request's body
    ├── Invalid                      422  fields of the object are wrong; details.causes has a FieldError for each
    ├── TooManyRequests              429  try again after retry_after seconds
    ├── InternalError                500
    ├── ServiceUnavailable           503  also raised by the client when it cannot connect
    └── Timeout                      504  also raised by the client when it gets no answer in time

Each class is named after its reason in the Status, Gone excepted. Reasons, codes and messages are upstream's
(apimachinery ``api/errors`` and ``util/validation/field``). Functions at the end of the file make the common ones with
upstream's wording: ``not_found("pods", "x")`` says ``pods "x" not found``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from json.encoder import encode_basestring
from typing import Any, NamedTuple

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


class ApiError(Exception):
    """An API call failed; see the file's docstring. It carries everything that its Status says."""

    code: int = 500
    reason: str = ""

    def __init__(
        self,
        message: str = "",
        *,
        details: dict[str, Any] | None = None,
        code: int | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        if code is not None:
            self.code = code
        if reason is not None:
            self.reason = reason

    def status(self) -> dict[str, Any]:
        """Return the v1 Status that is sent to a client."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status

    @staticmethod
    def from_status(status: dict[str, Any]) -> ApiError:
        """Return the error for a Status. The reason decides its class, or the code if the reason is not known here."""
        code = int(status.get("code") or 500)
        reason = str(status.get("reason") or "")
        cls = _BY_REASON.get(reason) or _BY_CODE.get(code) or ApiError
        error = cls.__new__(cls)
        ApiError.__init__(
            error, str(status.get("message") or reason or code), details=status.get("details"), code=code, reason=reason
        )
        return error

    @property
    def retry_after(self) -> int:
        """Seconds to wait before the next attempt, as the server says; 0 if it does not."""
        return int((self.details or {}).get("retryAfterSeconds") or 0)


class BadRequest(ApiError):
    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    code, reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(ApiError):
    code, reason = 406, "NotAcceptable"


class AlreadyExists(ApiError):
    code, reason = 409, "AlreadyExists"


class Conflict(ApiError):
    code, reason = 409, "Conflict"


class Gone(ApiError):
    """The server no longer has this resourceVersion: list again."""

    code, reason = 410, "Expired"


class RequestEntityTooLarge(ApiError):
    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    code, reason = 422, "Invalid"


class TooManyRequests(ApiError):
    """Try again after ``retry_after`` seconds; 0 leaves the time open, as upstream does when an eviction must wait."""

    code, reason = 429, "TooManyRequests"

    def __init__(self, message: str = "", *, retry_after: int = 1, details: dict[str, Any] | None = None) -> None:
        after = {"retryAfterSeconds": retry_after} if retry_after else {}
        super().__init__(message, details={**(details or {}), **after})


class InternalError(ApiError):
    code, reason = 500, "InternalError"


class ServiceUnavailable(ApiError):
    code, reason = 503, "ServiceUnavailable"


class Timeout(ApiError):
    code, reason = 504, "Timeout"


_CLASSES: Sequence[type[ApiError]] = ApiError.__subclasses__()  # in the order in which they stand above
_BY_REASON: dict[str, type[ApiError]] = {cls.reason: cls for cls in _CLASSES} | {"Gone": Gone, "ServerTimeout": Timeout}
# Of the two classes with code 409 the later counts: without a reason it is a Conflict.
_BY_CODE: dict[int, type[ApiError]] = {cls.code: cls for cls in _CLASSES}


class GoValue(str):
    """A bad value that is shown as it is, for values of Go types: ``[]core.ResourceQuotaScope{"BestEffort"}``."""


class FieldError(NamedTuple):
    """One thing that is wrong with one field (upstream: field.Error).

    Its text is e.g. ``spec.replicas: Invalid value: -1: must be greater than or equal to 0``.
    """

    type: str
    field: str
    detail: str = ""
    bad_value: Any = None

    def body(self) -> str:
        """Return the text without the field's path."""
        text = _FIELD_ERROR_TEXT[self.type]
        if self.type not in _WITHOUT_VALUE:
            text += ": " + _shown(self.bad_value)
        return f"{text}: {self.detail}" if self.detail else text

    def __str__(self) -> str:
        return f"{self.field}: {self.body()}"

    def cause(self) -> dict[str, str]:
        """Return it as an entry of a Status's ``details.causes``."""
        return {"reason": self.type, "message": self.body(), "field": self.field}

    @staticmethod
    def invalid(field: str, bad_value: Any, detail: str) -> FieldError:
        return FieldError("FieldValueInvalid", field, detail, bad_value)

    @staticmethod
    def required(field: str, detail: str = "") -> FieldError:
        return FieldError("FieldValueRequired", field, detail, "")

    @staticmethod
    def duplicate(field: str, bad_value: Any) -> FieldError:
        return FieldError("FieldValueDuplicate", field, "", bad_value)

    @staticmethod
    def forbidden(field: str, detail: str) -> FieldError:
        return FieldError("FieldValueForbidden", field, detail, "")

    @staticmethod
    def not_found(field: str, bad_value: Any) -> FieldError:
        return FieldError("FieldValueNotFound", field, "", bad_value)

    @staticmethod
    def not_supported(field: str, bad_value: Any, supported: Iterable[str]) -> FieldError:
        listed = ", ".join(quote(value) for value in supported)
        return FieldError("FieldValueNotSupported", field, f"supported values: {listed}" if listed else "", bad_value)

    @staticmethod
    def too_long(field: str, max_bytes: int) -> FieldError:
        return FieldError("FieldValueTooLong", field, f"may not be more than {max_bytes} bytes", "")

    @staticmethod
    def too_many(field: str, actual: int, most: int) -> FieldError:
        return FieldError("FieldValueTooMany", field, f"must have at most {most} items", actual)


_FIELD_ERROR_TEXT: dict[str, str] = {
    "FieldValueNotFound": "Not found",
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
    "FieldValueTypeInvalid": "Invalid value",
    "InternalError": "Internal error",
}
_WITHOUT_VALUE = frozenset({"FieldValueRequired", "FieldValueForbidden", "FieldValueTooLong", "InternalError"})


def quote(text: str) -> str:
    """Return text in quotes as Go's ``%q`` prints it, which upstream's messages use."""
    if text.isprintable():
        return encode_basestring(text)
    return f'"{"".join(map(_quoted, text))}"'


_GO_ESCAPES = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v"}
_GO_ESCAPES |= {"\\": r"\\", '"': r"\""}


def _quoted(letter: str) -> str:
    if letter in _GO_ESCAPES:
        return _GO_ESCAPES[letter]
    if letter.isprintable():
        return letter
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _shown(value: Any) -> str:
    """Return a bad value as v1.32 prints it: Go's ``%v`` for scalars, ``%#v`` for lists and maps of strings."""
    if isinstance(value, GoValue):
        return value
    if value is None:
        return '"null"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return f"[]string{{{', '.join(map(quote, value))}}}"
    if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        return "map[string]string{" + ", ".join(f"{quote(name)}:{quote(value[name])}" for name in sorted(value)) + "}"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class _Subject(NamedTuple):
    name: str
    group: str
    kind: str

    def details(self) -> dict[str, Any]:
        return {part: text for part, text in self._asdict().items() if text}


def _subject(resource: str, name: str) -> _Subject:
    """Split ``pods`` or ``leases.coordination.k8s.io`` into resource and group, for a Status's details."""
    kind, _, group = resource.partition(".")
    return _Subject(name, group, kind)


def no_such_resource(why: str = "") -> NotFound:
    """Return the error for a path that is not served. It has details, if empty, since some clients rely on them."""
    return NotFound("the server could not find the requested resource" + (f": {why}" if why else ""), details={})


def method_not_allowed(why: str = "") -> MethodNotAllowed:
    """Return the error for a path that is served, but not with this method."""
    text = "the server does not allow this method on the requested resource"
    return MethodNotAllowed(text + (f": {why}" if why else ""))


def not_found(resource: str, name: str) -> NotFound:
    """Return the error ``pods "x" not found``."""
    return NotFound(f"{resource} {quote(name)} not found", details=_subject(resource, name).details())


def already_exists(resource: str, name: str) -> AlreadyExists:
    """Return the error ``pods "x" already exists``."""
    return AlreadyExists(f"{resource} {quote(name)} already exists", details=_subject(resource, name).details())


def conflict(resource: str, name: str, why: str = MODIFIED) -> Conflict:
    """Return the error ``Operation cannot be fulfilled on pods "x": the object has been modified; …``."""
    message = f"Operation cannot be fulfilled on {resource} {quote(name)}: {why}"
    return Conflict(message, details=_subject(resource, name).details())


def forbidden(resource: str, name: str, why: str) -> Forbidden:
    """Return the error ``pods "x" is forbidden: why``, or without a name ``pods is forbidden: why``."""
    if not resource:
        return Forbidden(f"forbidden: {why}" if not name else f"forbidden: {quote(name)}: {why}")
    subject = f"{resource} {quote(name)}" if name else resource
    return Forbidden(f"{subject} is forbidden: {why}", details=_subject(resource, name).details())


# An error shows no more causes once their texts have so many characters together: each may show a value as large as a
# request, and there may be as many as the request has fields.
_MOST_TEXT = 1024 * 1024
_TOO_MANY = "too many errors"


def invalid(kind: str, name: str, causes: Iterable[FieldError]) -> Invalid:
    """Return the error ``Pod "x" is invalid: spec.a: Required value``; several causes stand in brackets, each once."""
    details = _subject(kind, name).details()
    details["causes"] = shown = []
    texts: dict[str, None] = {}
    length = 0
    for error in causes:
        if length > _MOST_TEXT:
            texts[_TOO_MANY] = None
            break
        cause = error.cause()
        shown.append(cause)
        texts[text := f"{error.field}: {cause['message']}"] = None
        length += len(text)
    return Invalid(f"{kind} {quote(name)} is invalid{_listed(list(texts))}", details=details)


def _listed(texts: Sequence[str]) -> str:
    if not texts:
        return ""
    return f": {texts[0]}" if len(texts) == 1 else f": [{', '.join(texts)}]"
