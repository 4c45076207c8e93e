"""Kinds that are asked and answered, never stored: who am I, and whose token is this?"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from apiserver.request import Call, User
from machinery.objects import Object


def user_info(user: User) -> Object:
    """A user as ``authentication.k8s.io/v1`` UserInfo."""
    info: Object = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def self_subject_review(call: Call, obj: Object) -> Object:
    """``kubectl auth whoami``."""
    return {**obj, "status": {"userInfo": user_info(call.user)}}


REVIEWS: Mapping[str, Callable[[Call, Object], Object]] = {
    "selfsubjectreviews.authentication.k8s.io": self_subject_review,
}
