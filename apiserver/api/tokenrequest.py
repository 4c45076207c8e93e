"""``POST …/serviceaccounts/<name>/token`` (upstream: pkg/registry/core/serviceaccount/storage/token.go)."""

from __future__ import annotations

from flask import Response

from apiserver.admission.serviceaccount import TOKEN_SECONDS
from apiserver.api import negotiation
from apiserver.api.negotiation import negotiate
from apiserver.authorization.tokens import Bound, Signer
from apiserver.config import Config
from apiserver.kinds.nodes import NODES
from apiserver.kinds.pods.row import PODS
from apiserver.kinds.secrets import SECRETS
from apiserver.kinds.subresources import body
from apiserver.model.kind import Kind, Subresource
from apiserver.registry.call import Call
from apiserver.registry.reader import require_object
from apiserver.registry.rest import Rest
from apiserver.schema.codec import upstream
from machinery.errors import BadRequest, FieldError, InternalError, NotFound, conflict, invalid
from machinery.objects import Object, format_time

DEFAULT_SECONDS = 3600
LEAST_SECONDS = 600
MOST_SECONDS = 1 << 32
# A token that the ServiceAccount plugin has requested is valid for a year: old programs never read its file again.
EXTENDED_SECONDS = 365 * 24 * 3600
KIND = "TokenRequest.authentication.k8s.io"
# The kinds whose objects a token may be bound to.
_BOUND = {kind.kind: kind for kind in (PODS, SECRETS, NODES)}


class TokenRequests:
    """Issues tokens for ServiceAccounts, to kubelets and to all who are allowed to."""

    def __init__(self, config: Config, rest: Rest) -> None:
        key_file = config.service_account_signing_key_file
        self._signer = Signer(key_file, config.service_account_issuer) if key_file else None
        self._config = config
        self._rest = rest

    def serve(self, call: Call) -> Response:
        """Answer with the TokenRequest and its status, which has the token."""
        if self._signer is None:
            raise InternalError("this API server signs no tokens: it has no --service-account-signing-key-file")
        form = negotiate(call.environ.get("HTTP_ACCEPT", ""))
        kind = _TOKEN_REQUEST
        body, warnings = kind.codec.decode(kind, call.body, call.content_type, field_validation=call.field_validation)
        call.warnings.extend(warnings)
        _place(call, body)
        spec = body.setdefault("spec", {})
        spec.setdefault("expirationSeconds", DEFAULT_SECONDS)
        errors = _validate(spec["expirationSeconds"])
        if errors:
            raise invalid(KIND, "", errors)
        account = require_object(self._rest.reader, call.kind, call.namespace, call.name)
        self._rest.admit("CREATE", call.write, body)
        bound = self._bound(call, spec.get("boundObjectRef"))
        spec["audiences"] = spec.get("audiences") or list(self._config.audiences)
        self._shorten(call, spec)
        if not call.dry_run:
            seconds, warn_after = self._lifetime(spec, bound)
            token, expires = self._signer.sign(account, spec["audiences"], seconds, bound, warn_after)
            body["status"] = {"token": token, "expirationTimestamp": format_time(expires)}
        return Response(negotiation.encode(body, form), 201, content_type=form.content_type)

    def _shorten(self, call: Call, spec: Object) -> None:
        asked, most = spec["expirationSeconds"], self._config.service_account_max_token_expiration
        if 0 < most < asked:
            call.warnings.append(f"requested expiration of {asked} seconds shortened to {most} seconds")
            spec["expirationSeconds"] = most

    def _lifetime(self, spec: Object, bound: Bound | None) -> tuple[int, int]:
        """Return for how many seconds the token is valid, and after how many its use is a mistake (0: never)."""
        seconds = spec["expirationSeconds"]
        if (
            self._config.service_account_extend_token_expiration
            and bound is not None
            and bound.what == "pod"
            and seconds == TOKEN_SECONDS
            and set(spec["audiences"]) <= set(self._config.audiences)
        ):
            return EXTENDED_SECONDS, seconds
        return seconds, 0

    def _bound(self, call: Call, ref: Object | None) -> Bound | None:
        """Return the object that the token shall not outlive; raises an ApiError if it is not as the request says."""
        if not ref:
            return None
        group, _, version = str(ref.get("apiVersion", "")).rpartition("/")
        what, name = str(ref.get("kind", "")), str(ref.get("name", ""))
        if group or what not in _BOUND:
            raise BadRequest(f"cannot bind token to object of type {group}/{version}, Kind={what}")
        kind = _BOUND[what]
        obj = require_object(self._rest.reader, kind, call.namespace if kind.namespaced else "", name)
        if what == "Pod" and obj["spec"].get("serviceAccountName") != call.name:
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
            raise conflict(what, name, why)
        return Bound(what.lower(), obj, self._node_of(obj) if what == "Pod" else None)

    def _node_of(self, pod: Object) -> Object | None:
        name = pod["spec"].get("nodeName")
        try:
            return require_object(self._rest.reader, NODES, "", name) if name else None
        except NotFound:
            return None


def _place(call: Call, body: Object) -> None:
    """Set name and namespace to those of the path; raises Invalid if the body says others."""
    meta = body.setdefault("metadata", {})
    for field, value in (("name", call.name), ("namespace", call.namespace)):
        if meta.get(field) and meta[field] != value:
            why = f"must match the service account {field} if specified"
            raise invalid(KIND, call.name, [FieldError.invalid(f"metadata.{field}", meta[field], why)])
        meta[field] = value


def _validate(seconds: int) -> list[FieldError]:
    path = "spec.expirationSeconds"
    if seconds < LEAST_SECONDS:
        return [FieldError.invalid(path, seconds, "may not specify a duration less than 10 minutes")]
    if seconds > MOST_SECONDS:
        return [FieldError.invalid(path, seconds, "may not specify a duration larger than 2^32 seconds")]
    return []


_TOKEN_REQUEST = Kind(*upstream("authentication.k8s.io", "TokenRequest"))
TOKEN = Subresource(
    "token",
    ("create",),
    *body("authentication.k8s.io", "TokenRequest"),
    handler=lambda config, rest: TokenRequests(config, rest).serve,
)
