"""Both generations of kubectl: the commands that need controllers, a node, or nothing but the API.

More of them are in ``tests/integration/kubectl`` (what only the API server is needed for) and
``tests/integration/streaming`` (what runs in containers).
"""

from __future__ import annotations

import json
import re
import select
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e.harness import Kubectl, eventually
from integration.clients.conftest import pod_named

from cluster.settings import BUSYBOX_IMAGE
from machinery.client import Client
from machinery.objects import Object
from machinery.resources import POD_DISRUPTION_BUDGETS, PODS, REPLICATION_CONTROLLERS

LACKS = {"kubectl 1.20": ("auth whoami", "create token", "events", "get --subresource", "patch --subresource")}
pytestmark = [pytest.mark.docker, pytest.mark.client("kubectl", lacks=LACKS)]
verb = pytest.mark.verb


@pytest.fixture
def is_new(kubectl: Kubectl) -> bool:
    return "1.20" not in kubectl("version", "--client")


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"app": "x"}}, "data": data}


def controller(name: str, replicas: int) -> Object:
    pod = pod_named(name, "exec sleep infinity")
    template = {"metadata": pod["metadata"], "spec": pod["spec"]}
    template["metadata"].pop("name")
    spec = {"replicas": replicas, "selector": {"app": name}, "template": template}
    return {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": name}, "spec": spec}


def text(*objects: Object) -> str:
    return "\n---\n".join(yaml.safe_dump(obj) for obj in objects)


# --- objects ---------------------------------------------------------------------------------------------------------

GENERATED = (
    "configmap a --from-literal=k=v",
    "secret generic a --from-literal=k=v",
    "secret docker-registry b --docker-username=a --docker-password=b",
    "serviceaccount a",
    "service clusterip a --tcp=80:8080",
    "service nodeport b --tcp=80:8080",
    "service loadbalancer c --tcp=80:8080",
    "service externalname d --external-name=example.com",
    "quota a --hard=pods=10",
    "role a --verb=get,list --resource=pods",
    "rolebinding a --role=a --user=somebody",
)
CLUSTER_WIDE = (
    "namespace {}",
    "priorityclass {} --value=10",
    "clusterrole {} --verb=get --resource=pods",
    "clusterrolebinding {} --clusterrole={} --user=somebody",
)


@verb("create", "create --dry-run")
def test_everything_that_create_generates(kubectl: Kubectl) -> None:
    name = f"{kubectl.namespace}-made"
    for command in (*GENERATED, *(words.format(name, name) for words in CLUSTER_WIDE)):
        for dry_run in ("client", "server"):
            made = yaml.safe_load(kubectl("create", *command.split(), f"--dry-run={dry_run}", "--output=yaml"))
            assert made["metadata"]["name"] and ("uid" in made["metadata"]) == (dry_run == "server"), command
        assert kubectl("create", *command.split()).endswith(" created\n")
    for kind in ("priorityclass", "clusterrole", "clusterrolebinding", "namespace"):
        kubectl("delete", kind, name, "--wait=false")


@verb("create")
def test_what_nobody_runs_is_refused(kubectl: Kubectl) -> None:
    for command, missing in (("deployment d --image=x", "Deployments"), ("job j --image=x", "Jobs")):
        said = kubectl.fails("create", *command.split())
        assert "the server does not allow this method on the requested resource: " in said
        assert f"mini-Minishift does not have {missing} yet" in said


@verb("delete")
def test_what_cannot_be_there_is_not_found(kubectl: Kubectl) -> None:
    assert '(NotFound): deployments.apps "d" not found' in kubectl.fails("delete", "deployment", "d")
    assert kubectl("delete", "deployment/d", "job/j", "--ignore-not-found") == ""
    assert kubectl("delete", "deployments", "--all") == "No resources found\n"


@verb("create token")
def test_a_token(kubectl: Kubectl, is_new: bool) -> None:
    if is_new:
        assert kubectl("create", "token", "default", "--duration=1h").count(".") == 2


@verb("get", "get -o", "api-versions")
def test_get_in_every_form(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl(
        "create", "--filename=-", stdin=text(config_map("b", k="1"), config_map("a", k="2"), config_map("c", k="3"))
    )
    chosen = ("get", "configmap", "--selector=app=x")
    assert kubectl(*chosen, "--output=name").split() == ["configmap/a", "configmap/b", "configmap/c"]
    assert kubectl(*chosen, "--output=jsonpath={.items[*].data.k}") == "2 1 3"
    assert kubectl(*chosen, "--output=go-template={{range .items}}{{.data.k}}{{end}}") == "213"
    columns = "--output=custom-columns=NAME:.metadata.name,K:.data.k"
    assert kubectl(*chosen, columns, "--sort-by=.data.k").split() == ["NAME", "K", "b", "1", "a", "2", "c", "3"]
    (tmp_path / "template").write_text("{{(index .items 0).metadata.name}}")
    assert kubectl(*chosen, "--output=go-template-file", f"--template={tmp_path}/template") == "a"
    assert len(yaml.safe_load(kubectl(*chosen, "--output=yaml"))["items"]) == 3
    assert len(json.loads(kubectl(*chosen, "--chunk-size=1", "--output=json"))["items"]) == 3
    assert [line.split()[0] for line in kubectl(*chosen, "--chunk-size=2", "--no-headers").splitlines()] == list("abc")
    assert kubectl(*chosen, "--show-labels", "--label-columns=app").splitlines()[1].split()[-2:] == ["x", "app=x"]
    everywhere = kubectl("get", "configmap", "--all-namespaces", "--field-selector=metadata.name=b", "--no-headers")
    assert kubectl.namespace in everywhere.split()
    assert kubectl("get", "configmap", "none", "--ignore-not-found") == ""
    assert 'configmaps "none" not found' in kubectl.fails("get", "configmap", "none")
    assert "the server doesn't have a resource type" in kubectl.fails("get", "nothing")
    assert {"v1", "apps/v1", "coordination.k8s.io/v1"} <= set(kubectl("api-versions").split())


@verb("get --raw", "version", "cluster-info", "cluster-info dump")
def test_what_the_server_says_of_itself(kubectl: Kubectl, tmp_path: Path) -> None:
    assert kubectl("get", "--raw=/readyz") == "ok"
    path = f"/api/v1/namespaces/{kubectl.namespace}/configmaps"
    assert json.loads(kubectl("get", f"--raw={path}?limit=1"))["kind"] == "ConfigMapList"
    kubectl("create", f"--raw={path}", "--filename=-", stdin=json.dumps(config_map("raw")))
    kubectl("delete", f"--raw={path}/raw")
    assert json.loads(kubectl("version", "--output=json"))["serverVersion"]["gitVersion"] == "v1.32.0"
    assert "is running at" in kubectl("cluster-info")
    kubectl("cluster-info", "dump", f"--output-directory={tmp_path}", f"--namespaces={kubectl.namespace}")
    assert json.loads((tmp_path / "nodes.json").read_text())["items"]


@verb("get --subresource", "patch --subresource")
def test_subresources(kubectl: Kubectl, is_new: bool) -> None:
    if not is_new:
        return
    kubectl("create", "--filename=-", stdin=text(controller("sub", 0)))
    assert kubectl("get", "rc", "sub", "--subresource=scale", "--output=jsonpath={.kind}") == "Scale"
    assert kubectl("get", "rc", "sub", "--subresource=scale").split()[:4] == ["NAME", "DESIRED", "AVAILABLE", "AGE"]
    kubectl("patch", "rc", "sub", "--subresource=scale", "--type=merge", '--patch={"spec":{"replicas":0}}')
    condition = '{"status":{"conditions":[{"type":"Test","status":"True"}]}}'
    kubectl("patch", "rc", "sub", "--subresource=status", "--type=merge", f"--patch={condition}")


@verb("get --watch")
def test_watching_in_columns(kubectl: Kubectl) -> None:
    kubectl("create", "--filename=-", stdin=text(config_map("watched", k="1")))
    with running(kubectl, "get", "configmap", "--watch", "--selector=app=x", "--no-headers") as watch:
        assert watch.stdout.readline().split()[:2] == ["watched", "1"]
        kubectl("patch", "configmap", "watched", '--patch={"data":{"l":"2"}}')
        assert watch.stdout.readline().split()[:2] == ["watched", "2"]
    with running(kubectl, "get", "configmap", "watched", "--watch-only", "--output=jsonpath={.data.k},") as watch:
        for number in range(2, 50):  # the first may come before it watches
            kubectl("patch", "configmap", "watched", f'--patch={{"data":{{"k":"{number}"}}}}')
            if select_readable(watch.stdout):
                break
        assert watch.stdout.read(2).endswith(",")


@contextmanager
def running(kubectl: Kubectl, *words: str) -> Iterator[Any]:
    """A kubectl that goes on until it is ended; its pipes are unbuffered text."""
    with subprocess.Popen(
        [kubectl.path, f"--kubeconfig={kubectl.kubeconfig}", f"--namespace={kubectl.namespace}", *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        guard = threading.Timer(60, process.kill)
        guard.start()
        yield process
        guard.cancel()
        process.terminate()


def select_readable(stream: Any) -> bool:
    return bool(select.select([stream], [], [], 0.2)[0])


@verb("describe")
def test_describe_everything(kubectl: Kubectl) -> None:
    """Every kind that there is an object of, in one go; what nobody can describe fails it."""
    kubectl("create", "--filename=-", stdin=text(controller("described", 0), pod_named("also", "exec sleep infinity")))
    kubectl("create", "quota", "described", "--hard=pods=100")
    listed = kubectl("api-resources", "--verbs=list,get", "--output=name").split()
    # kubectl describes what it finds in events and metrics itself.
    kinds = [name for name in listed if not name.endswith("metrics.k8s.io")]
    shown = kubectl("describe", ",".join(kinds), "--all-namespaces", timeout=120)
    for word in ("Name:", "Node:", "Capacity:", "Endpoints:", "Tokens:", "Hard", "PolicyRule:"):
        assert word in shown, word


@verb("apply", "apply -k", "kustomize")
def test_kustomization(kubectl: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(text(config_map("kustomized", k="v")))
    (tmp_path / "kustomization.yaml").write_text("namePrefix: pre-\nresources: [map.yaml]\n")
    assert kubectl("apply", "--kustomize", str(tmp_path)) == "configmap/pre-kustomized created\n"
    assert yaml.safe_load(kubectl("kustomize", str(tmp_path)))["metadata"]["name"] == "pre-kustomized"
    last = kubectl("apply", "view-last-applied", "configmap/pre-kustomized")
    assert yaml.safe_load(last)["data"] == {"k": "v"}


@verb("apply --server-side")
def test_server_side_apply(kubectl: Kubectl) -> None:
    apply = ("apply", "--server-side", "--filename=-")
    assert kubectl(*apply, stdin=text(config_map("ssa", a="1"))) == "configmap/ssa serverside-applied\n"
    refused = kubectl.fails(*apply, "--field-manager=other", stdin=text(config_map("ssa", a="2")))
    assert "Apply failed with 1 conflict" in refused and ".data.a" in refused
    kubectl(*apply, "--field-manager=other", "--force-conflicts", stdin=text(config_map("ssa", a="2")))
    managers = kubectl("get", "configmap", "ssa", "--output=jsonpath={.metadata.managedFields[*].manager}",
                       *(() if "1.20" in kubectl("version", "--client") else ("--show-managed-fields",)))  # fmt: skip
    assert "other" in managers.split()
    assert kubectl("diff", "--server-side", "--field-manager=other", "--filename=-",
                   stdin=text(config_map("ssa", a="2"))) == ""  # fmt: skip


@verb("custom resources")
def test_custom_resources(kubectl: Kubectl, widgets: Any) -> None:
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"replicas": 1}}
    kubectl("apply", "--filename=-", stdin=text(widget))
    kubectl("apply", "--filename=-", stdin=text(widget | {"spec": {"size": "large"}}))
    header, row = kubectl("get", "wd").splitlines()
    assert header.split() == ["NAME", "SIZE"] and row.split() == ["w", "large"]
    kubectl("scale", "widget/w", "--replicas=3")
    assert kubectl("get", "widgets", "w", "--output=jsonpath={.spec.replicas}") == "3"
    assert "size" in kubectl("explain", "widget.spec", "--recursive")
    assert "Size:" in kubectl("describe", "widget", "w")
    kubectl("patch", "widget", "w", "--type=merge", '--patch={"spec":{"size":"tiny"}}')
    kubectl("delete", "widget", "--all")


@verb("apply --prune")
def test_prune(kubectl: Kubectl, is_new: bool) -> None:
    # Without a list the old one asks for Ingresses of extensions/v1beta1, which no server has had for years.
    only = () if is_new else ("--prune-whitelist=core/v1/ConfigMap",)
    prune = ("apply", "--prune", "--selector=app=x", "--filename=-", *only)
    kubectl(*prune, stdin=text(config_map("kept"), config_map("dropped")))
    assert "configmap/dropped pruned" in kubectl(*prune, stdin=text(config_map("kept")))
    assert kubectl("get", "configmap", "--selector=app=x", "--output=name") == "configmap/kept\n"


@verb("replace", "replace --force")
def test_replace(kubectl: Kubectl) -> None:
    kubectl("create", "--filename=-", stdin=text(config_map("r", k="1")))
    kubectl("replace", "--filename=-", stdin=text(config_map("r", k="2")))
    before = kubectl.json("get", "configmap", "r")["metadata"]["uid"]
    kubectl("replace", "--force", "--filename=-", stdin=text(config_map("r", k="3")))
    after = kubectl.json("get", "configmap", "r")
    assert after["metadata"]["uid"] != before and after["data"] == {"k": "3"}
    assert "not found" in kubectl.fails("replace", "--filename=-", stdin=text(config_map("none")))


@verb("set")
def test_set(kubectl: Kubectl) -> None:
    kubectl("create", "--filename=-", stdin=text(controller("rc", 0)))
    kubectl("create", "service", "clusterip", "svc", "--tcp=80")
    kubectl("set", "image", "rc/rc", "main=other:1")
    kubectl("set", "env", "rc/rc", "A=B")
    kubectl("set", "resources", "rc/rc", "--limits=cpu=100m,memory=64Mi", "--requests=cpu=50m")
    kubectl("set", "serviceaccount", "rc/rc", "default")
    kubectl("set", "selector", "service/svc", "p=q")
    [container] = kubectl.json("get", "rc", "rc")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "other:1" and container["env"] == [{"name": "A", "value": "B"}]
    assert container["resources"] == {"limits": {"cpu": "100m", "memory": "64Mi"}, "requests": {"cpu": "50m"}}
    assert kubectl.json("get", "service", "svc")["spec"]["selector"] == {"p": "q"}
    assert "A=B" in kubectl("set", "env", "rc/rc", "--list")


@verb("delete")
def test_delete(kubectl: Kubectl) -> None:
    def names() -> list[str]:
        return kubectl("get", "configmap", "--selector=app", "--output=jsonpath={.items[*].metadata.name}").split()

    kubectl("create", "--filename=-", stdin=text(*(config_map(name) for name in "abcdef")))
    kubectl("delete", "configmap", "a")
    kubectl("delete", "configmap", "--field-selector=metadata.name=b")
    kubectl("delete", "--filename=-", stdin=text(config_map("c")))
    assert names() == ["d", "e", "f"]
    kubectl("label", "configmap", "d", "drop=me")
    kubectl("delete", "configmap", "--selector=drop=me")
    kubectl("delete", "configmap", "e", "--dry-run=server")
    assert names() == ["e", "f"]
    kubectl("delete", "configmap", "--all")
    assert names() == []
    assert kubectl("delete", "configmap", "a", "--ignore-not-found") == ""
    assert "not found" in kubectl.fails("delete", "configmap", "a")


@verb("config", "plugin")
def test_what_asks_no_server(kubectl: Kubectl, tmp_path: Path) -> None:
    assert kubectl("config", "view", "--minify", "--output=jsonpath={.contexts[0].name}") == "mini-minishift"
    assert kubectl("config", "current-context") == "mini-minishift\n"
    assert "mini-minishift" in kubectl("config", "get-contexts", "--output=name")
    plugin = tmp_path / "kubectl-hello"
    plugin.write_text('#!/bin/sh\nexec echo "hello $1"\n')
    plugin.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path), prepend=":")
        done = subprocess.run([kubectl.path, "hello", "you"], capture_output=True, text=True, check=True)
    assert done.stdout == "hello you\n"


@verb("auth can-i", "auth whoami")
def test_who_may_do_what(kubectl: Kubectl, is_new: bool) -> None:
    assert kubectl("auth", "can-i", "create", "pods") == "yes\n"
    someone = f"--as=system:serviceaccount:{kubectl.namespace}:default"
    refused = kubectl.run("auth", "can-i", "create", "pods", someone)
    assert (refused.returncode, refused.stdout.split("\n")[0]) == (1, "no")
    assert "*.*" in kubectl("auth", "can-i", "--list")
    assert "cannot list resource" in kubectl.fails("get", "pods", someone)
    if is_new:
        assert "admin" in kubectl("auth", "whoami")


@verb("debug refused", "rollout refused", "autoscale refused")
def test_what_there_is_not_is_said(kubectl: Kubectl, shell: Object) -> None:
    kubectl("create", "--filename=-", stdin=text(controller("rc", 0)))
    old = ("alpha",) if "1.20" in kubectl("version", "--client") and kubectl.run("debug", "--help").returncode else ()
    debug = (*old, "debug", "shell", f"--image={BUSYBOX_IMAGE}", "--namespace=default")
    assert "ephemeral containers are disabled for this cluster" in kubectl.fails(*debug)
    for words in (("status",), ("history",), ("undo",), ("restart",)):
        kubectl.fails("rollout", *words, "rc/rc")
    assert "could not find the requested resource" in kubectl.fails("autoscale", "rc", "rc", "--max=3")


# --- pods and nodes --------------------------------------------------------------------------------------------------


@verb("run", "run -it --rm", "wait", "expose", "events", "logs", "top")
def test_run_wait_and_expose(kubectl: Kubectl, is_new: bool) -> None:
    image, quick = f"--image={BUSYBOX_IMAGE}", '--overrides={"spec":{"terminationGracePeriodSeconds":0}}'
    script = "mkdir /w; echo served > /w/index.html; echo up; exec httpd -f -p 8080 -h /w"
    kubectl("run", "web", image, "--labels=app=web", "--port=8080", quick, "--", "sh", "-c", script)
    kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=30s")
    if is_new:
        kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod/web", "--timeout=30s")
    # It runs, but whether it has said something yet only its log tells.
    eventually(lambda: kubectl("logs", "--selector=app=web", "--tail=1") == "up\n")
    kubectl("expose", "pod", "web", "--port=80", "--target-port=8080", "--name=exposed")
    assert kubectl.json("get", "service", "exposed")["spec"]["selector"] == {"app": "web"}
    assert re.search(r"Started +pod/web", kubectl("get", "events"), re.IGNORECASE)
    if is_new:
        assert "Started" in kubectl("events", "--for=pod/web")
    said = kubectl("run", "once", image, quick, "--restart=Never", "--stdin", "--rm", "--", "sh", "-c", "cat; echo bye",
                   stdin="hello\n")  # fmt: skip
    assert "hello\nbye\n" in said and 'pod "once" deleted' in said
    assert "clients-node" in kubectl("top", "node")
    with running(kubectl, "wait", "--for=delete", "pod/web", "--timeout=30s") as waiting:
        kubectl("delete", "pod", "web", "--wait=false")
        assert waiting.wait(30) == 0 or "no matching resources" in waiting.stderr.read()


@verb("scale", "delete --cascade")
def test_scale_and_the_ways_to_delete_what_depends(kubectl: Kubectl, admin: Client) -> None:
    kubectl("create", "--filename=-", stdin=text(*(controller(name, 1) for name in ("bg", "orphan", "fg"))))

    def pods(app: str) -> list[str]:
        return kubectl("get", "pods", f"--selector=app={app}", "--output=name").split()

    def has_two_pods(app: str) -> bool:
        return len(pods(app)) == 2

    for name in ("bg", "orphan", "fg"):
        kubectl("scale", f"rc/{name}", "--current-replicas=1", "--replicas=2")
        eventually(partial(has_two_pods, name))
    assert "Expected replicas to be 5" in kubectl.fails("scale", "rc/bg", "--current-replicas=5", "--replicas=1")
    is_old = "1.20" in kubectl("version", "--client")
    kubectl("delete", "rc", "orphan", "--cascade=orphan")
    assert len(pods("orphan")) == 2
    kubectl("delete", "rc", "bg", "--cascade=background")
    eventually(lambda: not pods("bg"))
    kubectl("delete", "rc", "fg", "--cascade=foreground")
    assert not pods("fg"), "the owner goes last"
    kubectl("delete", "pods", "--all", "--grace-period=0", "--force")
    assert is_old or admin.list(REPLICATION_CONTROLLERS, kubectl.namespace)["items"] == []


@verb("cordon", "uncordon", "taint", "drain")
def test_a_node_is_emptied(kubectl: Kubectl, admin: Client, other_node: str) -> None:
    kubectl("cordon", other_node)
    assert "SchedulingDisabled" in kubectl("get", "node", other_node)
    kubectl("uncordon", other_node)
    kubectl("taint", "node", other_node, "a=b:NoSchedule")
    assert {"key": "a", "value": "b", "effect": "NoSchedule"} in kubectl.json("get", "node", other_node)["spec"][
        "taints"
    ]
    kubectl("taint", "node", other_node, "a:NoSchedule-")
    pod = pod_named("evicted", "exit 0")
    pod["spec"]["nodeName"] = other_node
    kubectl("create", "--filename=-", stdin=text(pod))
    kubectl("drain", other_node, "--force", "--ignore-daemonsets", "--timeout=30s", "--disable-eviction=false",
            "--grace-period=0")  # fmt: skip
    assert kubectl("get", "pods", "--output=name") == ""


@verb("drain")
def test_a_drain_respects_a_disruption_budget(kubectl: Kubectl, admin: Client, other_node: str) -> None:
    pod = pod_named("guarded", "exit 0")
    pod["metadata"]["labels"] = {"app": "guarded"}
    pod["spec"]["nodeName"] = other_node
    kubectl("create", "--filename=-", stdin=text(pod))
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    admin.patch(PODS, "guarded", kubectl.namespace, {"status": ready}, type="strategic", subresource="status")
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "guarded"}}}
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "pdb"}, "spec": spec}
    admin.create(POD_DISRUPTION_BUDGETS, budget, kubectl.namespace)

    drain = ("drain", other_node, "--force", "--ignore-daemonsets", "--grace-period=0")
    message = kubectl.fails(*drain, "--timeout=2s")
    assert "Cannot evict pod as it would violate the pod's disruption budget." in message
    assert kubectl("get", "pods", "--output=name") == "pod/guarded\n"
    admin.patch(POD_DISRUPTION_BUDGETS, "pdb", kubectl.namespace, {"spec": {"minAvailable": 0}})
    kubectl(*drain, "--timeout=30s")
    assert kubectl("get", "pods", "--output=name") == ""


@pytest.fixture
def other_node(kubectl: Kubectl) -> Iterator[str]:
    """A node that nobody runs."""
    name = f"{kubectl.namespace}-node"
    kubectl("create", "--filename=-", stdin=text({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}))
    yield name
    kubectl("delete", "node", name)


@verb("port-forward")
def test_port_forward_to_a_service_and_to_several_ports(kubectl: Kubectl, shell_service: str) -> None:
    command = ("port-forward", f"service/{shell_service}", ":80", ":80", "--namespace=default")
    with running(kubectl, *command) as forward:
        ports = [re.search(r"127\.0\.0\.1:(\d+)", forward.stdout.readline()) for _ in range(3)]
        for found in [match[1] for match in ports if match]:
            with urllib.request.urlopen(f"http://127.0.0.1:{found}/", timeout=20) as answer:
                assert answer.read() == b"hello\n"


@verb("port-forward")
def test_a_forward_ends_with_its_pod(kubectl: Kubectl, is_new: bool) -> None:
    """The old kubectl stays where it is, with any server."""
    probe = {"tcpSocket": {"port": 7000}, "periodSeconds": 1}
    pod = pod_named("brief", "exec httpd -f -p 7000", readinessProbe=probe)
    kubectl("create", "--filename=-", stdin=text(pod))
    kubectl("wait", "--for=condition=Ready", "pod/brief", "--timeout=30s")
    with running(kubectl, "port-forward", "pod/brief", ":7000") as forward:
        found = re.search(r"127\.0\.0\.1:(\d+)", forward.stdout.readline())
        assert found

        def ask() -> bytes:
            with suppress(OSError), socket.create_connection(("127.0.0.1", int(found[1])), timeout=20) as connection:
                connection.sendall(b"GET /none HTTP/1.0\r\n\r\n")
                return connection.recv(100)
            return b""

        assert ask().startswith(b"HTTP/1")
        kubectl("delete", "pod", "brief", "--grace-period=0", "--force")
        if is_new:
            eventually(lambda: not ask() and forward.poll() is not None)
            assert forward.returncode == 1
            assert "lost connection to pod" in forward.stderr.read()
        else:
            eventually(lambda: not ask())


@verb("proxy")
def test_proxy(kubectl: Kubectl, shell: Object, tmp_path: Path) -> None:
    with running(kubectl, "proxy", "--port=0", "--api-prefix=/k8s/") as proxy:
        found = re.search(r"127\.0\.0\.1:(\d+)", proxy.stdout.readline())
        assert found
        base = f"http://127.0.0.1:{found[1]}/k8s"
        with urllib.request.urlopen(f"{base}/version", timeout=20) as answer:
            assert json.load(answer)["minor"] == "32"
        with urllib.request.urlopen(f"{base}/api/v1/namespaces/default/pods/shell:8080/proxy/", timeout=20) as answer:
            assert answer.read() == b"hello\n"
