"""Role-based access control: roles, bindings and nodes decide who may do what; ``kubectl auth can-i`` asks."""

from __future__ import annotations

import threading
from typing import cast

from apiserver.admission.escalation import Escalation
from apiserver.admission.noderestriction import NodeRestriction
from apiserver.api.accessreviews import access_reviews
from apiserver.authorization.authorizer import UnionAuthorizer
from apiserver.authorization.node import NodeAuthorizer
from apiserver.authorization.policy import CachedObjects, Policy
from apiserver.authorization.rbac import Rbac
from apiserver.control.policykeeper import PolicyKeeper
from apiserver.features.feature import Base, Feature
from apiserver.kinds.rbac import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from apiserver.kinds.reviews import (
    LOCAL_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_RULES_REVIEWS,
    SUBJECT_ACCESS_REVIEWS,
)
from apiserver.model.attributes import Authorizer


def _authorizer(base: Base) -> UnionAuthorizer:
    rbac = Rbac(Policy(CachedObjects(base.cache)))
    return UnionAuthorizer(NodeAuthorizer(base.reader), rbac, threading.Event())


def _own(authorizer: Authorizer) -> UnionAuthorizer:
    """Return the authorizer, which this feature has made: no other makes one."""
    return cast(UnionAuthorizer, authorizer)


FEATURE = Feature(
    "accesscontrol",
    kinds=(
        CLUSTER_ROLE_BINDINGS,
        CLUSTER_ROLES,
        ROLE_BINDINGS,
        ROLES,
        LOCAL_SUBJECT_ACCESS_REVIEWS,
        SELF_SUBJECT_ACCESS_REVIEWS,
        SELF_SUBJECT_RULES_REVIEWS,
        SUBJECT_ACCESS_REVIEWS,
    ),
    authorizer=_authorizer,
    admission=lambda base, authorizer: (Escalation(_own(authorizer)), NodeRestriction()),
    reviews=lambda core: access_reviews(_own(core.authorizer), _own(core.authorizer).policy),
    steps=lambda core: (PolicyKeeper(core.rest, _own(core.authorizer).roles_exist),),
)
