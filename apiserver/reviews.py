"""Kinds that are asked and answered, or done, and never stored: who am I, whose token is this, put that pod there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from apiserver.authn import TokenAuthenticator
from apiserver.request import Call, User
from apiserver.subresources.binding import bind_by_name
from machinery.errors import BadRequest
from machinery.objects import Object

Review = Callable[[Call, Object], Object]


def reviews(authenticators: tuple[TokenAuthenticator, ...]) -> Mapping[str, Review]:
    """Resource → what answers it."""
    return {
        "bindings": bind_by_name,
        "selfsubjectreviews.authentication.k8s.io": _self_subject_review,
        "tokenreviews.authentication.k8s.io": lambda call, obj: _token_review(authenticators, obj),
    }


def user_info(user: User) -> Object:
    """A user as ``authentication.k8s.io/v1`` UserInfo."""
    info: Object = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def _self_subject_review(call: Call, obj: Object) -> Object:
    return {**obj, "status": {"userInfo": user_info(call.user)}}


def _token_review(authenticators: tuple[TokenAuthenticator, ...], obj: Object) -> Object:
    spec = obj.get("spec") or {}
    token = spec.get("token")
    if not token:
        raise BadRequest("token is required for TokenReview in authentication")
    for authenticator in authenticators:
        user = authenticator.review(token, spec.get("audiences") or ())
        if user is not None:
            status: Object = {"authenticated": True, "user": user_info(user)}
            if spec.get("audiences"):
                status["audiences"] = list(spec["audiences"])
            return {**obj, "status": status}
    return {**obj, "status": {"user": {}, "error": "the token is not a valid one for this cluster"}}
