"""ServiceAccount: every pod runs as one, and finds its token, the cluster's CA and its namespace in a volume.

Upstream: plugin/pkg/admission/serviceaccount. The volume is projected: the kubelet requests a token for
this pod and renews it, so the pod itself holds no secret.
"""

from __future__ import annotations

from apiserver.admission.plugin import Plugin, is_pod, refuse
from apiserver.kinds.pods.defaults import DEFAULT_MODE, set_service_account
from apiserver.kinds.pods.update import MIRROR
from apiserver.kinds.serviceaccounts import SERVICE_ACCOUNTS
from apiserver.registry.admissionrequest import AdmissionRequest
from machinery.objects import Object, random_suffix
from machinery.pods import references

DEFAULT = "default"
VOLUME_PREFIX = "kube-api-access-"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
ROOT_CA = "kube-root-ca.crt"
# An hour and seven seconds, by which upstream recognizes a token that this plugin has requested.
TOKEN_SECONDS = 60 * 60 + 7
# A controller creates ``default`` just after the namespace. A pod that comes earlier waits for it so many seconds.
DEFAULT_SECONDS = 2.0


class ServiceAccount(Plugin):
    name = "ServiceAccount"

    def handles(self, request: AdmissionRequest) -> bool:
        return is_pod(request, "CREATE")

    def admit(self, request: AdmissionRequest) -> None:
        spec = request.new["spec"]
        if MIRROR in (request.new["metadata"].get("annotations") or {}):
            _check_mirror(request, request.new)
            return
        set_service_account(spec, spec.get("serviceAccountName") or DEFAULT)
        account = _find(request, spec["serviceAccountName"])
        if _automounts(spec, account):
            _mount(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(secret) for secret in account["imagePullSecrets"]]


def _check_mirror(request: AdmissionRequest, pod: Object) -> None:
    """Refuse the mirror of a static pod if it refers to an account, a Secret or a token."""
    if pod["spec"].get("serviceAccountName"):
        raise refuse(request, "a mirror pod may not reference service accounts")
    if any(resource == "secrets" for resource, _ in references(pod["spec"])):
        raise refuse(request, "a mirror pod may not reference secrets")
    projections = ((volume.get("projected") or {}).get("sources") or () for volume in pod["spec"].get("volumes") or ())
    if any("serviceAccountToken" in source for sources in projections for source in sources):
        raise refuse(request, "a mirror pod may not use ServiceAccountToken volume projections")


def _find(request: AdmissionRequest, name: str) -> Object:
    """Return the account; raises Forbidden if there is none, in the case of ``default`` after DEFAULT_SECONDS."""
    account = request.reader.get(SERVICE_ACCOUNTS, request.namespace, name)
    if account is None and name == DEFAULT:
        account = request.reader.await_object(SERVICE_ACCOUNTS, request.namespace, name, DEFAULT_SECONDS)
    if account is not None:
        return account
    why = f'error looking up service account {request.namespace}/{name}: serviceaccount "{name}" not found'
    raise refuse(request, why)


def _automounts(spec: Object, account: Object) -> bool:
    """Return whether the pod gets a token: as the pod says, or else the account, or else yes."""
    for source in (spec, account):
        if source.get("automountServiceAccountToken") is not None:
            return bool(source["automountServiceAccountToken"])
    return True


def _mount(spec: Object) -> None:
    """Mount the token into every container that has nothing at its path; add the volume if there is none."""
    volumes = spec.get("volumes") or []
    present = next((volume["name"] for volume in volumes if volume["name"].startswith(VOLUME_PREFIX)), None)
    name, mounted = present or VOLUME_PREFIX + random_suffix(), False
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        mounts = container.get("volumeMounts") or []
        if all(mount.get("mountPath") != MOUNT_PATH for mount in mounts):
            container["volumeMounts"] = [*mounts, {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}]
            mounted = True
    if mounted and present is None:
        spec["volumes"] = [*volumes, {"name": name, "projected": _projection()}]


def _projection() -> Object:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "defaultMode": DEFAULT_MODE,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": ROOT_CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [namespace]}},
        ],
    }
