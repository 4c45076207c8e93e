"""Statuses and messages, word for word as upstream's API server sends them."""

from __future__ import annotations

import pytest

from machinery import errors
from machinery.errors import ApiError, FieldError


def test_message_forms() -> None:
    assert errors.not_found("pods", "x").message == 'pods "x" not found'
    assert errors.already_exists("services", "web").message == 'services "web" already exists'
    assert errors.conflict("pods", "x").message == (
        'Operation cannot be fulfilled on pods "x": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    assert errors.forbidden("pods", "", "no").message == "pods is forbidden: no"


def test_status_of_a_grouped_resource() -> None:
    assert errors.not_found("leases.coordination.k8s.io", "n1").status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'leases.coordination.k8s.io "n1" not found',
        "reason": "NotFound",
        "details": {"name": "n1", "group": "coordination.k8s.io", "kind": "leases"},
        "code": 404,
    }


def test_invalid_with_one_and_with_several_causes() -> None:
    one = FieldError.invalid("spec.replicas", -1, "must be greater than or equal to 0")
    two = FieldError.required("spec.template")
    assert errors.invalid("ReplicationController", "a", [one]).message == (
        'ReplicationController "a" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0'
    )
    both = errors.invalid("ReplicationController", "a", [one, two, two])
    assert both.message.endswith(
        "is invalid: [spec.replicas: Invalid value: -1: must be greater than or equal to 0, "
        "spec.template: Required value]"
    )
    assert both.details is not None
    assert both.details["causes"][1] == {
        "reason": "FieldValueRequired",
        "message": "Required value",
        "field": "spec.template",
    }


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FieldError.not_supported("a", "x", ["B", "C"]), 'a: Unsupported value: "x": supported values: "B", "C"'),
        (FieldError.duplicate("a[1].name", "x"), 'a[1].name: Duplicate value: "x"'),
        (FieldError.forbidden("a", "may not change"), "a: Forbidden: may not change"),
        (FieldError.too_long("a", 63), "a: Too long: may not be more than 63 bytes"),
        (FieldError.invalid("a", None, "why"), 'a: Invalid value: "null": why'),
        (FieldError.invalid("a", True, "why"), "a: Invalid value: true: why"),
        (FieldError.invalid("a", {"b": 1}, "why"), 'a: Invalid value: {"b":1}: why'),
    ],
)
def test_field_error(error: FieldError, text: str) -> None:
    assert str(error) == text


FAMILY = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, ApiError) and cls.reason]


@pytest.mark.parametrize("cls", FAMILY)
def test_an_error_survives_the_wire(cls: type[ApiError]) -> None:
    sent = cls("because")
    received = ApiError.from_status(sent.status())
    assert type(received) is cls
    assert (received.code, received.reason, received.message) == (sent.code, sent.reason, sent.message)
    assert received.status() == sent.status()


def test_from_status_without_a_known_reason_goes_by_the_code() -> None:
    assert type(ApiError.from_status({"code": 409})) is errors.Conflict
    assert type(ApiError.from_status({"code": 410, "reason": "Gone"})) is errors.Gone
    assert type(ApiError.from_status({"code": 418, "message": "teapot"})) is ApiError


def test_retry_after() -> None:
    assert ApiError.from_status(errors.TooManyRequests("slow", retry_after=7).status()).retry_after == 7
    assert errors.NotFound("x").retry_after == 0
