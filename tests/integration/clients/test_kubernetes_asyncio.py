"""The library ``kubernetes_asyncio``: typed and dynamic client, watch, stream and leader election."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from integration.clients.conftest import pod_named, write_log
from kubernetes_asyncio import client, config, utils, watch
from kubernetes_asyncio.client.exceptions import ApiException
from kubernetes_asyncio.config.incluster_config import InClusterConfigLoader
from kubernetes_asyncio.dynamic import DynamicClient
from kubernetes_asyncio.leaderelection import electionconfig, leaderelection
from kubernetes_asyncio.leaderelection.resourcelock.leaselock import LeaseLock
from kubernetes_asyncio.stream import WsApiClient

from machinery.objects import Object

LACKS = ("tables", "port-forward")
pytestmark = [pytest.mark.docker, pytest.mark.client("kubernetes_asyncio", lacks=LACKS)]
verb = pytest.mark.verb


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*arguments: Any, **fixtures: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*arguments, **fixtures), 60))

    return run


@asynccontextmanager
async def core_api(kubeconfig: Path) -> AsyncIterator[client.CoreV1Api]:
    async with await config.new_client_from_config(str(kubeconfig)) as api:
        yield client.CoreV1Api(api)


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> client.V1ConfigMap:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels=labels), data=data)


@verb("create", "get", "replace", "delete", "JSON patch", "merge patch", "strategic merge patch")
@in_a_loop
async def test_life_of_an_object(kubeconfig: Path, namespace: str) -> None:
    async with core_api(kubeconfig) as core:
        made = await core.create_namespaced_config_map(namespace, config_map("one", a="b"))
        made.data = {"a": "c"}
        await core.replace_namespaced_config_map("one", namespace, made)
        for type_, patch in (
            ("json-patch", [{"op": "add", "path": "/data/j", "value": "1"}]),
            ("merge-patch", {"data": {"m": "2"}}),
            ("strategic-merge-patch", {"data": {"s": "3"}}),
        ):
            await core.patch_namespaced_config_map("one", namespace, patch, _content_type=f"application/{type_}+json")
        found = await core.read_namespaced_config_map("one", namespace)
        assert found.data == {"a": "c", "j": "1", "m": "2", "s": "3"}
        await core.delete_namespaced_config_map("one", namespace)
        with pytest.raises(ApiException) as gone:
            await core.read_namespaced_config_map("one", namespace)
        assert gone.value.status == 404


@verb("list", "selectors", "chunks", "deletecollection")
@in_a_loop
async def test_lists(kubeconfig: Path, namespace: str) -> None:
    async with core_api(kubeconfig) as core:
        await asyncio.gather(
            *(core.create_namespaced_config_map(namespace, config_map(f"c{n}", {"n": str(n)})) for n in range(5))
        )
        chosen = await core.list_namespaced_config_map(namespace, label_selector="n,n!=1", limit=3)
        assert [item.metadata.name for item in chosen.items] == ["c0", "c2", "c3"]
        rest = await core.list_namespaced_config_map(
            namespace, label_selector="n,n!=1", limit=3, _continue=chosen.metadata._continue
        )
        assert [item.metadata.name for item in rest.items] == ["c4"]
        await core.delete_collection_namespaced_config_map(namespace, label_selector="n")
        assert (await core.list_namespaced_config_map(namespace, label_selector="n")).items == []


APPLY = "application/apply-patch+yaml"


@verb("server-side apply")
@in_a_loop
async def test_server_side_apply(kubeconfig: Path, namespace: str) -> None:
    async with core_api(kubeconfig) as core:

        async def apply(manager: str, value: str, **options: bool) -> Any:
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": value}}
            return await core.patch_namespaced_config_map(
                "applied", namespace, body, field_manager=manager, _content_type=APPLY, **options
            )

        await apply("one", "1")
        with pytest.raises(ApiException) as conflict:
            await apply("two", "2")
        assert conflict.value.status == 409
        assert (await apply("two", "2", force=True)).data == {"a": "2"}


@verb("custom resources")
@in_a_loop
async def test_custom_resources(kubeconfig: Path, widgets: Any, namespace: str) -> None:
    async with core_api(kubeconfig) as core:
        custom = client.CustomObjectsApi(core.api_client)
        place = ("example.com", "v1", namespace, "widgets")
        body = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"replicas": 1}}
        await custom.create_namespaced_custom_object(*place, body)
        await custom.patch_namespaced_custom_object(
            *place, "w", {"spec": {"size": "large"}}, _content_type="application/merge-patch+json"
        )
        found = await custom.get_namespaced_custom_object(*place, "w")
        assert found["spec"] == {"replicas": 1, "size": "large"}
        await custom.delete_namespaced_custom_object(*place, "w")


@verb("watch", "watch resumed")
@in_a_loop
async def test_watch(kubeconfig: Path, namespace: str) -> None:
    async with core_api(kubeconfig) as core:
        made = await core.create_namespaced_config_map(namespace, config_map("w", {"l": "m"}))
        await core.patch_namespaced_config_map("w", namespace, {"data": {"a": "b"}})
        await core.delete_namespaced_config_map("w", namespace)
        async with watch.Watch() as events:
            seen = [
                event["type"]
                async for event in events.stream(
                    core.list_namespaced_config_map, namespace, label_selector="l",
                    resource_version=made.metadata.resource_version, timeout_seconds=1,
                )
            ]  # fmt: skip
        assert seen == ["MODIFIED", "DELETED"]


@verb("status", "scale")
@in_a_loop
async def test_subresources(kubeconfig: Path, namespace: str) -> None:
    async with core_api(kubeconfig) as core:
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "none"}]}}
        spec = {"replicas": 0, "selector": {"a": "b"}, "template": template}
        await core.create_namespaced_replication_controller(namespace, {"metadata": {"name": "rc"}, "spec": spec})
        await core.patch_namespaced_replication_controller_scale("rc", namespace, {"spec": {"replicas": 1}})
        scale = await core.read_namespaced_replication_controller_scale("rc", namespace)
        assert scale.spec.replicas == 1
        await core.create_node({"metadata": {"name": namespace}})
        patched = await core.patch_node_status(namespace, {"status": {"capacity": {"cpu": "3"}}})
        assert patched.status.capacity == {"cpu": "3"}
        await core.delete_node(namespace)


@verb("wait", "events", "logs")
@in_a_loop
async def test_a_pod_that_ends(kubeconfig: Path, namespace: str) -> None:
    async with core_api(kubeconfig) as core:
        pod = pod_named("short", "echo one; echo two")
        pod["spec"]["restartPolicy"] = "Never"
        await core.create_namespaced_pod(namespace, pod)
        async with watch.Watch() as events:
            async for event in events.stream(core.list_namespaced_pod, namespace, timeout_seconds=30):
                if event["object"].status.phase == "Succeeded":
                    break
        assert await core.read_namespaced_pod_log("short", namespace) == "one\ntwo\n"
        async with watch.Watch() as events:
            async for event in events.stream(core.list_namespaced_event, namespace, timeout_seconds=30):
                if event["object"].reason == "Started":
                    break


@verb("logs followed", "exec", "proxy")
@in_a_loop
async def test_streams_of_a_pod(kubeconfig: Path, shell: Object) -> None:
    async with core_api(kubeconfig) as core:
        assert await core.connect_get_namespaced_pod_proxy_with_path("shell:8080", "default", "index.html") == "hello\n"
        configuration = core.api_client.configuration
        async with WsApiClient(configuration) as sockets, watch.Watch() as follow:
            streams = client.CoreV1Api(sockets)
            lines = follow.stream(core.read_namespaced_pod_log, "shell", "default", tail_lines=1, follow=True)
            await anext(lines)
            await streams.connect_get_namespaced_pod_exec(
                "shell", "default", command=write_log("for-asyncio"), stdout=True
            )
            assert await anext(lines) == "for-asyncio\n"
            said = await streams.connect_get_namespaced_pod_exec(
                "shell", "default", command=["sh", "-c", "echo out; exit 3"], stdout=True, stderr=True,
                _preload_content=False,
            )  # fmt: skip
            async with said as socket:
                messages = [message.data async for message in socket]
            assert b"\x01out\n" in messages
            assert WsApiClient.parse_error_data(messages[-1][1:].decode()) == 3


@verb("attach")
@in_a_loop
async def test_attach(kubeconfig: Path, shell: Object) -> None:
    async with core_api(kubeconfig) as core, WsApiClient(core.api_client.configuration) as sockets:
        attached = await client.CoreV1Api(sockets).connect_get_namespaced_pod_attach(
            "shell", "default", stdin=True, stdout=True, _preload_content=False
        )
        async with attached as socket:
            await socket.send_bytes(b"\x00from asyncio\n")
            async for message in socket:
                if message.data == b"\x01got from asyncio\n":
                    break


@verb("errors")
@in_a_loop
async def test_errors(kubeconfig: Path, namespace: str) -> None:
    async with core_api(kubeconfig) as core:
        await core.create_namespaced_config_map(namespace, config_map("here"))
        for name, code in (("here", 409), ("Not_A_Name", 422)):
            with pytest.raises(ApiException) as error:
                await core.create_namespaced_config_map(namespace, config_map(name))
            assert error.value.status == code


@verb("discovery", "create")
@in_a_loop
async def test_dynamic_client(kubeconfig: Path, namespace: str) -> None:
    async with core_api(kubeconfig) as core, DynamicClient(core.api_client) as dynamic:
        leases = await dynamic.resources.get(api_version="coordination.k8s.io/v1", kind="Lease")
        await leases.create({"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}}, namespace=namespace)
        assert (await leases.get(name="l", namespace=namespace)).spec.holderIdentity == "me"
        document = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}}
        await utils.create_from_dict(core.api_client, document, namespace=namespace)
        assert (await core.read_namespaced_secret("s", namespace)).data == {"a": "Yg=="}


@verb("leader election")
@in_a_loop
async def test_leader_election(kubeconfig: Path, namespace: str) -> None:
    async with core_api(kubeconfig) as core:
        leads = asyncio.Event()

        async def lead() -> None:
            leads.set()

        async def stop() -> None:
            """Nothing is to be put away."""

        lock = LeaseLock("lock", namespace, "candidate", core.api_client)
        settings = electionconfig.Config(
            lock, lease_duration=4, renew_deadline=3, retry_period=2, onstarted_leading=lead, onstopped_leading=stop
        )
        election = asyncio.create_task(leaderelection.LeaderElection(settings).run())
        await asyncio.wait_for(leads.wait(), 20)
        lease = await client.CoordinationV1Api(core.api_client).read_namespaced_lease("lock", namespace)
        assert lease.spec.holder_identity == "candidate"
        election.cancel()


@verb("in-cluster config")
@in_a_loop
async def test_in_cluster_configuration(service_account: Path, control_plane: Any) -> None:
    settings = client.Configuration()
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": control_plane.url.rpartition(":")[2]}
    loader = InClusterConfigLoader(
        token_filename=str(service_account / "token"), cert_filename=str(service_account / "ca.crt"), environ=environ
    )
    loader.load_and_set(settings)
    async with client.ApiClient(settings) as inside:
        review = await client.AuthenticationV1Api(inside).create_self_subject_review({})
        assert review.status.user_info.username == "system:serviceaccount:default:default"
