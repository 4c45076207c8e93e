"""Projects, as in OpenShift and Minishift: namespaces that people without rights in the cluster make for themselves.

A user with the verb ``own`` on namespaces beside ``create`` (ClusterRole ``self-provisioner``) becomes the
administrator of a namespace that she creates. She may not list namespaces, but when she does she is shown her own. So
``kubectl create namespace x`` does for her what ``oc new-project x`` does there.

This module says who owns what; ``admission/projectrequest.py`` marks a new project, and ``control/projects.py`` writes
the bindings of its owner.
"""

from __future__ import annotations

from apiserver.authorization.authorizer import MASTERS
from apiserver.model.attributes import Attributes, Authorizer, Visible
from apiserver.model.user import User
from machinery.objects import Object

OWN = "own"
REQUESTER = "openshift.io/requester"  # the annotation that OpenShift gives its projects


def visible(authorizer: Authorizer, asked: Attributes) -> Visible | None:
    """Return which namespaces to show to a user who may not list all but owns some; None for every other request."""
    if not _is_list_of_namespaces(asked) or authorizer.allows(asked) or not _may_own(authorizer, asked.user):
        return None
    return lambda namespace: _is_hers(authorizer, asked.user, namespace)


def owns_what_she_makes(authorizer: Authorizer, user: User) -> bool:
    """Return whether a namespace that the user creates becomes her project; not if she may do everything anyway."""
    if MASTERS in user.groups or not _may_own(authorizer, user):
        return False
    return not authorizer.allows(Attributes(user, "*", "*", "*"))


def _may_own(authorizer: Authorizer, user: User) -> bool:
    return authorizer.allows(Attributes(user, OWN, resource="namespaces"))


def _is_list_of_namespaces(asked: Attributes) -> bool:
    return asked.verb in ("list", "watch") and (asked.group, asked.combined, asked.namespace) == ("", "namespaces", "")


def _is_hers(authorizer: Authorizer, user: User, namespace: Object) -> bool:
    """Return whether she asked for the namespace, which is known before its bindings exist, or may get it."""
    meta = namespace["metadata"]
    if (meta.get("annotations") or {}).get(REQUESTER) == user.name:
        return True
    name = meta["name"]
    return authorizer.allows(Attributes(user, "get", resource="namespaces", namespace=name, name=name))
