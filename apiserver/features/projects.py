"""Projects, as in OpenShift: namespaces that users without rights in the cluster make, and are administrators of."""

from __future__ import annotations

from apiserver.admission.projectrequest import ProjectRequest
from apiserver.authorization.ownership import visible
from apiserver.control.projects import Projects
from apiserver.features.feature import Feature
from apiserver.kinds.namespaces import NAMESPACES

FEATURE = Feature(
    "projects",
    requires=("accesscontrol",),  # its roles say who may make a project, and what the administrator of one may do
    admission=lambda base, authorizer: (ProjectRequest(authorizer),),
    after_create=lambda core: {NAMESPACES.resource: Projects(core.rest).complete},
    steps=lambda core: (Projects(core.rest),),
    visible=visible,
)
