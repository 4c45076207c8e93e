"""Projects, as in OpenShift and Minishift: namespaces that people without rights in the cluster make for themselves.

A user with the verb ``own`` on namespaces beside ``create`` (ClusterRole ``self-provisioner``) becomes the
administrator of a namespace that she creates. She may not list namespaces, but when she does she is shown her own. So
``kubectl create namespace x`` does for her what ``oc new-project x`` does there.

An admission plugin marks the new namespace as hers. Then bindings make her the administrator. These are several writes:
the first sets a mark and the last removes it, so that a server that starts can complete projects of one that was
killed.
"""

from __future__ import annotations

import logging

from apiserver.admission.plugin import Plugin, refuse
from apiserver.features.feature import Feature
from apiserver.kinds.namespaces import NAMESPACES
from apiserver.kinds.rbac import GROUP, ROLE_BINDINGS, USER
from apiserver.model.attributes import Attributes, Authorizer, Visible
from apiserver.model.item import Item
from apiserver.model.user import MASTERS, User
from apiserver.registry.admissionrequest import AdmissionRequest
from apiserver.registry.rest import Rest
from apiserver.registry.writerequest import own_write
from machinery.errors import AlreadyExists, Forbidden, NotFound
from machinery.objects import Object

log = logging.getLogger(__name__)

OWN = "own"
REQUESTER = "openshift.io/requester"  # the annotation that OpenShift gives its projects
# Marks a namespace whose owner has not got her bindings yet: they are several writes.
UNFINISHED = "mini-minishift/unfinished-project"
# Prefixes of names that belong to the system.
RESERVED = ("kube-", "openshift-")
# The owner's bindings and their ClusterRoles. OpenShift's admin may also delete the project, upstream's may not.
BINDINGS = {"admin": "admin", "project-owner": "project-owner"}


# --- who owns what ----------------------------------------------------------------------------------------------------


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


# --- the plugin -------------------------------------------------------------------------------------------------------


class ProjectRequest(Plugin):
    """Writes, and protects, the annotations of a project."""

    name = "ProjectRequest"
    optional = False  # upstream has no such plugin

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def handles(self, request: AdmissionRequest) -> bool:
        return request.resource == NAMESPACES.resource and request.operation in ("CREATE", "UPDATE")

    def admit(self, request: AdmissionRequest) -> None:
        if MASTERS in request.user.groups:
            return
        marks = _marks(request.old)
        if request.old is None and owns_what_she_makes(self._authorizer, request.user):
            _check_name(request, request.new["metadata"])
            marks = {REQUESTER: request.user.name, **({} if request.dry_run else {UNFINISHED: "true"})}
        _set_marks(request.new["metadata"], marks)


def _marks(namespace: Object | None) -> dict[str, str]:
    annotations = ((namespace or {}).get("metadata") or {}).get("annotations") or {}
    return {name: annotations[name] for name in (REQUESTER, UNFINISHED) if name in annotations}


def _set_marks(metadata: Object, marks: dict[str, str]) -> None:
    """Write the marks, and restore them on updates: they give rights, so no user may write them."""
    annotations = metadata.get("annotations") or {}
    if _marks({"metadata": metadata}) != marks:
        others = {name: value for name, value in annotations.items() if name not in (REQUESTER, UNFINISHED)}
        metadata["annotations"] = {**others, **marks}


def _check_name(request: AdmissionRequest, metadata: Object) -> None:
    name = metadata.get("name") or metadata.get("generateName") or ""
    for prefix in RESERVED:
        if name.startswith(prefix):
            raise refuse(request, f'cannot request a project starting with "{prefix}"')


# --- the bindings -----------------------------------------------------------------------------------------------------


class Projects:
    """Completes new projects: those that are created here, and at the start those that a killed server left undone."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def complete(self, namespace: Item) -> Item:
        """Return a new namespace as it is in the end: a project has its owner's bindings."""
        return _complete(self._rest, namespace.object) or namespace

    def concerns(self, key: str) -> bool:
        """Return False: only a server that starts finds unfinished projects."""
        return False

    def run(self) -> None:
        """Complete every project. Raises ApiError or StoreError."""
        for namespace in self._rest.reader.list(NAMESPACES, consistent=True):
            try:
                if _complete(self._rest, namespace):
                    log.info("completed project %s", namespace["metadata"]["name"])
            except (NotFound, Forbidden):
                continue  # It is being deleted, and takes no bindings any more.


def _complete(rest: Rest, namespace: Object) -> Item | None:
    """Write the bindings and remove the mark; return None if the namespace is no project or is complete."""
    meta = namespace["metadata"]
    annotations = meta.get("annotations") or {}
    if UNFINISHED not in annotations:
        return None
    for name, role in BINDINGS.items():
        try:
            rest.create(own_write(ROLE_BINDINGS, meta["name"], name), _binding(name, role, annotations[REQUESTER]))
        except AlreadyExists:
            continue
    return rest.modify(own_write(NAMESPACES, "", meta["name"], owns_fields=False), _finish)


def _binding(name: str, role: str, user: str) -> Object:
    return {
        "kind": "RoleBinding",
        "apiVersion": f"{GROUP}/v1",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": GROUP, "kind": USER, "name": user}],
    }


def _finish(namespace: Object) -> Object:
    (namespace["metadata"].get("annotations") or {}).pop(UNFINISHED, None)
    return namespace


FEATURE = Feature(
    "projects",
    requires=("accesscontrol",),  # its roles say who may make a project, and what the administrator of one may do
    admission=lambda base, authorizer: (ProjectRequest(authorizer),),
    after_create=lambda core: {NAMESPACES.resource: Projects(core.rest).complete},
    steps=lambda core: (Projects(core.rest),),
    visible=visible,
)
