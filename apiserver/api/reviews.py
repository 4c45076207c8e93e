"""Kinds that are POSTed for their answer and never stored: SelfSubjectReview, TokenReview, the old ``bindings``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from apiserver.authorization.authn import TokenAuthenticator, TokenRefused
from apiserver.kinds.pods.row import PODS
from apiserver.kinds.subresources import binding
from apiserver.model.actions import success
from apiserver.model.user import User
from apiserver.registry.call import Call
from apiserver.registry.rest import Rest
from apiserver.registry.writerequest import WriteRequest
from machinery.errors import BadRequest
from machinery.objects import Object

Review = Callable[[Call, Object], Object]


def binding_review(rest: Rest) -> Mapping[str, Review]:
    """Return what answers a POST to ``bindings``."""
    return {"bindings": lambda call, obj: _bind(rest, call, obj)}


def authentication_reviews(authenticators: Sequence[TokenAuthenticator]) -> Mapping[str, Review]:
    """Return what answers a POST to each of the reviews of authentication.k8s.io, by its resource."""
    return {
        "selfsubjectreviews.authentication.k8s.io": _self_subject_review,
        "tokenreviews.authentication.k8s.io": lambda call, obj: _token_review(authenticators, obj),
    }


def user_info(user: User) -> Object:
    """Return a user as ``authentication.k8s.io/v1`` UserInfo."""
    info: Object = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def _bind(rest: Rest, call: Call, obj: Object) -> Object:
    """Answer a POST to the older, top-level ``bindings``, where the Binding's own name says which pod is meant."""
    name = (obj.get("metadata") or {}).get("name", "")
    binding.check(name, obj)

    def change(pod: Object) -> Object:
        binding.assign(pod, obj)
        return pod

    rest.modify(WriteRequest(PODS, call.namespace, name, call.user, dry_run=call.dry_run, hooks=False), change)
    return success()


def _self_subject_review(call: Call, obj: Object) -> Object:
    return {**obj, "status": {"userInfo": user_info(call.user)}}


def _token_review(authenticators: Sequence[TokenAuthenticator], obj: Object) -> Object:
    """Answer whose token this is (upstream: pkg/registry/authentication/tokenreview)."""
    spec = obj.get("spec") or {}
    token, audiences = spec.get("token"), spec.get("audiences") or ()
    if not token:
        raise BadRequest("token is required for TokenReview in authentication")
    problems = ["invalid bearer token"]
    for authenticator in authenticators:
        try:
            found = authenticator.identify(token, audiences)
        except TokenRefused as why:
            problems.append(str(why))
            continue
        if found is not None:
            status = {"authenticated": True, "user": user_info(found.user), "audiences": list(found.audiences)}
            return {**obj, "status": status}
    error = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
    return {**obj, "status": {"user": {}, "error": error}}
