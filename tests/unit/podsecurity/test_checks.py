"""The Pod Security Standards, check by check, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.podsecurity.evaluation import evaluate_pods, violations
from apiserver.podsecurity.policy import LevelVersion

Object = dict[str, Any]

HARDENED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def container(name: str = "a", **context: Any) -> Object:
    return {"name": name, "image": "i", "securityContext": context}


def hardened(name: str = "a", **context: Any) -> Object:
    return container(name, **{**HARDENED, **context})


def pod(*containers: Object, **spec: Any) -> Object:
    return {"containers": list(containers) or [container()], **spec}


def restricted(*containers: Object, **spec: Any) -> Object:
    """A pod that keeps to the strictest level, but for what is given."""
    context = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    return pod(*(containers or [hardened()]), **{"securityContext": context, **spec})


def found(level: str, spec: Object, minor: int | None = None, **annotations: str) -> list[str]:
    names = {name.replace("__", "/").replace("_", "."): value for name, value in annotations.items()}
    return [str(violation) for violation in violations(LevelVersion(level, minor), {"annotations": names}, spec)]


@pytest.mark.parametrize(
    "spec, message",
    [
        (pod(hostNetwork=True, hostPID=True), "host namespaces (hostNetwork=true, hostPID=true)"),
        (pod(hostIPC=True), "host namespaces (hostIPC=true)"),
        (
            pod(container("a", privileged=True), container("b", privileged=True)),
            'privileged (containers "a", "b" must not set securityContext.privileged=true)',
        ),
        (
            pod(container(capabilities={"add": ["NET_RAW", "CHOWN", "BPF"]})),
            'non-default capabilities (container "a" must not include "BPF", "NET_RAW" in '
            "securityContext.capabilities.add)",
        ),
        (pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), 'hostPath volumes (volume "v")'),
        (
            pod({"name": "a", "ports": [{"hostPort": 80}, {"hostPort": 8080}, {"containerPort": 1}]}),
            'hostPort (container "a" uses hostPorts 80, 8080)',
        ),
        (
            pod(container(appArmorProfile={"type": "Unconfined"})),
            'forbidden AppArmor profile (container "a" must not set AppArmor profile type to "Unconfined")',
        ),
        (
            pod(securityContext={"seLinuxOptions": {"type": "spc_t", "user": "u", "role": "r"}}),
            'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set; '
            "role may not be set)",
        ),
        (
            pod(container("a", procMount="Unmasked"), container("b", procMount="Default")),
            'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            pod(container(seccompProfile={"type": "Unconfined"}), securityContext={"seccompProfile": {"type": "Odd"}}),
            'seccompProfile (pod and container "a" must not set securityContext.seccompProfile.type to '
            '"Odd", "Unconfined")',
        ),
        (
            pod(securityContext={"sysctls": [{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_rmem"}]}),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            pod(securityContext={"windowsOptions": {"hostProcess": True}}),
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
    ],
)
def test_baseline(spec: Object, message: str) -> None:
    assert found("baseline", spec) == [message]
    assert found("privileged", spec) == []


@pytest.mark.parametrize(
    "spec, message",
    [
        (
            restricted(hardened(allowPrivilegeEscalation=None), hardened("b", allowPrivilegeEscalation=True)),
            'allowPrivilegeEscalation != false (containers "a", "b" must set '
            "securityContext.allowPrivilegeEscalation=false)",
        ),
        (
            restricted(hardened(capabilities={"drop": ["CHOWN"], "add": ["CHOWN", "NET_BIND_SERVICE"]})),
            'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]; container '
            '"a" must not include "CHOWN" in securityContext.capabilities.add)',
        ),
        (
            restricted(volumes=[{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "nfs": {}}]),
            'restricted volume types (volumes "v", "w" use restricted volume types "hostPath", "nfs")',
        ),
        (
            restricted(hardened(runAsNonRoot=False)),
            'runAsNonRoot != true (container "a" must not set securityContext.runAsNonRoot=false)',
        ),
        (
            restricted(securityContext={"seccompProfile": {"type": "Localhost"}}),
            'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true)',
        ),
        (restricted(hardened(runAsUser=0)), 'runAsUser=0 (container "a" must not set runAsUser=0)'),
        (
            restricted(securityContext={"runAsNonRoot": True}),
            'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
            '"Localhost")',
        ),
    ],
)
def test_restricted(spec: Object, message: str) -> None:
    assert found("restricted", spec) == [message]


def test_what_keeps_to_a_level() -> None:
    assert found("baseline", pod()) == []
    own = {"runAsNonRoot": True, "seccompProfile": {"type": "Localhost"}}
    volumes = [{"name": "v", "emptyDir": {}}, {"name": "w", "projected": {}}]
    assert found("restricted", restricted(volumes=volumes)) == []
    assert found("restricted", pod(hardened(**own, capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}))) == []  # type: ignore[arg-type]


def test_an_ordinary_pod_and_the_strictest_level() -> None:
    assert ", ".join(found("restricted", pod(container("web")))) == (
        'allowPrivilegeEscalation != false (container "web" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "web" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "web" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "web" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")'
    )


def test_every_sort_of_container_counts() -> None:
    spec = pod(
        container("b", privileged=True),
        initContainers=[container("a", privileged=True)],
        ephemeralContainers=[container("c", privileged=True)],
    )
    assert 'containers "a", "b", "c"' in found("baseline", spec)[0]


@pytest.mark.parametrize(
    "sysctl, since",
    [("net.ipv4.ip_local_reserved_ports", 27), ("net.ipv4.tcp_fin_timeout", 29), ("net.ipv4.tcp_wmem", 32)],
)
def test_later_versions_allow_more(sysctl: str, since: int) -> None:
    spec = pod(securityContext={"sysctls": [{"name": sysctl}]})
    assert found("baseline", spec, since - 1) == [f"forbidden sysctls ({sysctl})"]
    assert found("baseline", spec, since) == found("baseline", spec) == []


def test_what_a_level_meant_in_earlier_versions() -> None:
    added = restricted(hardened(capabilities={"add": ["SYS_ADMIN"]}))
    assert found("restricted", added, 21)[0].startswith("non-default capabilities")
    assert found("restricted", added, 22)[0].startswith("unrestricted capabilities")
    assert found("restricted", restricted(hardened(runAsUser=0)), 22) == []
    assert found("restricted", pod(), 7) == [
        'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true)'
    ]
    engine = pod(securityContext={"seLinuxOptions": {"type": "container_engine_t"}})
    assert found("baseline", engine, 30) and not found("baseline", engine, 31)


def test_annotations_of_old() -> None:
    assert found("baseline", pod(), 18, seccomp_security_alpha_kubernetes_io__pod="unconfined") == [
        'seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")'
    ]
    assert found("baseline", pod(), 19, seccomp_security_alpha_kubernetes_io__pod="unconfined") == []
    assert found("baseline", pod(), container_apparmor_security_beta_kubernetes_io__a="unconfined") == [
        "forbidden AppArmor profile (annotation must not set AppArmor profile type to "
        '"container.apparmor.security.beta.kubernetes.io/a="unconfined"")'
    ]


def test_pods_for_windows_are_spared_what_windows_does_not_have() -> None:
    spec = pod(securityContext={"runAsNonRoot": True}, os={"name": "windows"})
    assert found("restricted", spec) == []
    assert len(found("restricted", spec, 24)) == 3


def test_pods_with_the_same_faults_share_a_line() -> None:
    def named(name: str, **spec: Any) -> Object:
        return {"metadata": {"name": name}, "spec": pod(**spec)}

    host, path = {"hostNetwork": True}, {"volumes": [{"name": "v", "hostPath": {}}]}
    pods = [named("c", **host), named("b", hostPID=True), named("z"), named("y", **host, **path), named("a", **host)]
    assert evaluate_pods(LevelVersion("baseline"), [*pods, named("w", **path), named("v", **path)]) == [
        "a (and 2 other pods): host namespaces",
        "v (and 1 other pod): hostPath volumes",
        "y: host namespaces, hostPath volumes",
    ]
