"""``POST …/serviceaccounts/<name>/token`` (upstream: pkg/registry/core/serviceaccount/storage/token.go)."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response

from apiserver import negotiation, schema
from apiserver.kind import Kind
from apiserver.reading import Reading
from apiserver.request import Call
from apiserver.subresources import find_subresource
from apiserver.tokens import Signer
from machinery.errors import BadRequest, FieldError, InternalError, conflict, invalid
from machinery.objects import Object, format_time

DEFAULT_SECONDS = 3600
LEAST_SECONDS = 600
MOST_SECONDS = 1 << 32


class TokenRequests:
    """Issues tokens for ServiceAccounts, on the request of kubelets and administrators."""

    def __init__(
        self, signer: Signer | None, audiences: Sequence[str], reading: Reading, kinds: dict[str, Kind]
    ) -> None:
        self._signer = signer
        self._audiences = audiences
        self._reading = reading
        self._kinds = kinds

    def serve(self, call: Call) -> Response:
        """The TokenRequest with its status."""
        if self._signer is None:
            raise InternalError("this API server signs no tokens: it has no --service-account-signing-key-file")
        form = negotiation.form_of(call.environ, call.query)
        row = find_subresource(call.kind, "token")
        assert row is not None
        kind = Kind(row.group, row.version, row.kind, row.name, row.definition)
        body, warnings = schema.decode(kind, call.body, call.content_type, field_validation=call.field_validation)
        call.warnings += warnings
        spec = body.setdefault("spec", {})
        seconds = spec.setdefault("expirationSeconds", DEFAULT_SECONDS)
        spec["audiences"] = spec.get("audiences") or list(self._audiences)
        errors = _validate(seconds)
        if errors:
            raise invalid("TokenRequest.authentication.k8s.io", call.name, errors)
        account = self._reading.get(call.kind, call.namespace, call.name).object
        bound = self._bound_object(call, spec.get("boundObjectRef"))
        meta = body.setdefault("metadata", {})
        meta.setdefault("name", call.name)
        meta.setdefault("namespace", call.namespace)
        if not call.dry_run:
            token, expires = self._signer.sign(account, spec["audiences"], seconds, bound)
            body["status"] = {"token": token, "expirationTimestamp": format_time(expires)}
        return Response(negotiation.encode(body, form), 201, content_type=form.content_type)

    def _bound_object(self, call: Call, ref: Object | None) -> tuple[str, Object] | None:
        """The object that the token shall not outlive; raises when it is not as the request says."""
        if not ref:
            return None
        what = str(ref.get("kind", "")).lower()
        if what not in ("pod", "secret", "node") or ref.get("apiVersion") != "v1":
            raise BadRequest(f"cannot bind token to object of type {ref.get('apiVersion')}, Kind={ref.get('kind')}")
        kind, name = self._kinds[what], str(ref.get("name", ""))
        obj = self._reading.get(kind, call.namespace if kind.namespaced else "", name).object
        if what == "pod" and obj.get("spec", {}).get("serviceAccountName") != call.name:
            why = (
                f'cannot bind token for serviceaccount "{call.name}" to pod running with different serviceaccount name.'
            )
            raise BadRequest(why)
        uid = ref.get("uid")
        if uid and uid != obj["metadata"]["uid"]:
            why = (
                f"the UID in the bound object reference ({uid}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
            raise conflict(kind.resource, name, why)
        return what, obj


def _validate(seconds: int) -> list[FieldError]:
    path = "spec.expirationSeconds"
    if seconds < LEAST_SECONDS:
        return [FieldError.invalid(path, seconds, "may not specify a duration less than 10 minutes")]
    if seconds > MOST_SECONDS:
        return [FieldError.invalid(path, seconds, "may not specify a duration larger than 2^32 seconds")]
    return []
