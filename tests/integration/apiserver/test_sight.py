"""What an operator sees of a server of two workers: metrics of both, in whichever is asked; logs; health."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from integration.served import Etcd, Served
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.etcd

CMS = "/api/v1/namespaces/default/configmaps"
READS = {"verb": "GET", "resource": "configmaps", "code": "200"}


class Metrics:
    """One scrape."""

    def __init__(self, served: Served) -> None:
        answer = served("GET", "/metrics")
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        self.samples = [
            sample for family in text_string_to_metric_families(answer.body.decode()) for sample in family.samples
        ]

    def __call__(self, name: str, **labels: str) -> float:
        """The sum over what has these labels."""
        return sum(s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items())


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_metrics_are_those_of_all_workers_also_of_one_that_was_killed(
    etcd: Etcd, start_served: Callable[..., Served]
) -> None:
    served = start_served(etcd)
    served("DELETE", f"{CMS}/sight")
    served("POST", CMS, {"metadata": {"name": "sight"}})

    def read(times: int) -> None:
        for _ in range(times):  # each on a connection of its own, which either worker may get
            assert served("GET", f"{CMS}/sight").code == 200

    read(40)
    found = [Metrics(served)("apiserver_request_total", **READS) for _ in range(6)]
    assert found == [40] * 6, "every worker tells of all"
    before = Metrics(served)
    assert before("apiserver_request_duration_seconds_count", verb="GET", resource="configmaps") == 40
    assert before("apiserver_request_duration_seconds_bucket", verb="GET", resource="configmaps", le="+Inf") == 40
    assert before("apiserver_request_sli_duration_seconds_count", verb="GET", resource="configmaps") == 40
    assert before("apiserver_response_sizes_sum", verb="GET", resource="configmaps") > 40 * 100
    assert before("etcd_request_duration_seconds_count", operation="create", type="configmaps") >= 1
    assert before("apiserver_storage_objects", resource="configmaps") >= 1
    assert before("apiserver_storage_size_bytes") > 10_000
    assert before("process_resident_memory_bytes") > 30e6

    watches = [served.connect() for _ in range(8)]
    for connection in watches:
        connection.request("GET", f"{CMS}?watch=1", headers={"Authorization": "Bearer admin-token"})
        connection.getresponse()
    assert Metrics(served)("apiserver_longrunning_requests", verb="WATCH", resource="configmaps") == 8
    workers = served.workers()
    os.kill(workers[0], signal.SIGKILL)
    wait_until(lambda: len(served.workers()) == 2 and served.workers() != workers)
    wait_until(lambda: served("GET", "/readyz").code == 200)
    after = Metrics(served)
    assert after("apiserver_request_total", **READS) == 40, "what a dead worker counted stays"
    assert after("apiserver_longrunning_requests", verb="WATCH", resource="configmaps") < 8, "its watches are gone"
    assert after("process_cpu_seconds_total") >= before("process_cpu_seconds_total")
    read(20)
    assert Metrics(served)("apiserver_request_total", **READS) == 60, "and its successor counts on"
    served.hang_up()
    wait_until(lambda: Metrics(served)("apiserver_longrunning_requests") == 0)
    assert Metrics(served)("apiserver_current_inflight_requests") == 1, "the scrape itself"


def test_watches_and_caches(served: Served) -> None:
    before = Metrics(served)
    watch = served.connect()
    watch.request("GET", f"{CMS}?watch=1", headers={"Authorization": "Bearer admin-token"})
    events = watch.getresponse()
    served("DELETE", f"{CMS}/seen")
    served("POST", CMS, {"metadata": {"name": "seen"}})
    while b'"seen"' not in (line := events.readline()) or b"ADDED" not in line:
        assert line
    after = Metrics(served)

    def grown(name: str, **labels: str) -> float:
        return after(name, **labels) - before(name, **labels)

    assert grown("apiserver_watch_events_total", kind="ConfigMap") >= 1
    assert grown("apiserver_watch_events_sizes_sum", kind="ConfigMap") > 100
    assert grown("apiserver_watch_cache_events_dispatched_total", resource="configmaps") >= 1
    assert grown("apiserver_watch_cache_events_received_total", resource="configmaps") >= 1
    newest = after("apiserver_watch_cache_newest_resource_version")
    assert newest - 5 <= after("apiserver_watch_cache_resource_version") <= newest


def test_the_log_follows_requests_when_told_to(etcd: Etcd, start_served: Callable[..., Served]) -> None:
    served = start_served(etcd)

    def lines(pattern: str) -> list[str]:
        return re.findall(pattern, served.log)

    for _ in range(10):
        served("GET", "/version")
    assert served("PUT", "/debug/flags/v", b"3").body == b"successfully set klog.logging.verbosity to 3"
    for _ in range(30):
        served("GET", f"{CMS}?limit=7", headers={"User-Agent": "kubectl/v1.32.0 (linux/amd64)"})
    expected = (
        r"GET /api/v1/namespaces/default/configmaps\?limit=7 200, \d+\.\d ms, \d+ B, for admin with kubectl/v1.32.0"
    )
    wait_until(lambda: len(lines(expected)) == 30)  # whichever worker had them
    assert not lines("/version")
    served("PUT", "/debug/flags/v", b"0")
    wait_until(lambda: bool(lines("PUT /debug/flags/v")))
    served("GET", "/version")
    assert not lines("/version")
    assert served("PUT", "/debug/flags/v", b"much").code == 400
    assert served("GET", "/debug/flags/v").code == 406
    somebody = {"Authorization": "Bearer somebody-token"}
    assert served("PUT", "/debug/flags/v", b"3", headers=somebody).code == 403
    assert served("GET", "/metrics", headers=somebody).code == 403


def test_slis(served: Served) -> None:
    served("GET", "/readyz")
    text = served("GET", "/metrics/slis").body.decode()
    assert 'kubernetes_healthcheck{name="etcd",type="readyz"} 1' in text
    assert "apiserver_request" not in text
    assert {"/metrics", "/livez/etcd", "/readyz/poststarthook/rbac/bootstrap-roles"} <= set(
        served("GET", "/").json["paths"]
    )


def test_open_watches_cost_no_threads(served: Served) -> None:
    auth = {"Authorization": "Bearer admin-token"}

    def threads() -> int:
        return max(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in served.workers())

    before = threads()
    answers = []
    for _ in range(200):
        connection = served.connect()
        connection.request("GET", f"{CMS}?watch=1&fieldSelector=metadata.name%3Dmany", headers=auth)
        answers.append(connection.getresponse())
    served("DELETE", f"{CMS}/many")
    served("POST", CMS, {"metadata": {"name": "many"}})
    assert all(b'"ADDED"' in answer.readline() for answer in answers)
    assert threads() < before + 20
    served.hang_up()
    wait_until(lambda: Metrics(served)("apiserver_longrunning_requests", resource="configmaps") == 0)


def test_the_connection_of_a_watch_serves_another_request_after_it(served: Served) -> None:
    connection = served.connect()
    for _ in range(2):
        answer = served("GET", f"{CMS}?watch=1&timeoutSeconds=1&resourceVersion=0", connection=connection)
        assert (answer.code, answer.headers["Transfer-Encoding"]) == (200, "chunked")
        assert served("GET", "/version", connection=connection).code == 200


def test_clients_that_do_not_hang_up_hold_up_nobody(served: Served) -> None:
    lingering = [served.connect() for _ in range(12)]
    for connection in lingering:
        connection.request("GET", "/version", headers={"Connection": "close"})
    time.sleep(0.5)  # they have been answered, and are waited for
    started = time.monotonic()
    for _ in range(6):
        assert served("GET", "/version").code == 200
    assert time.monotonic() - started < 1


def test_the_workers_share_connections_out(served: Served) -> None:
    def sockets(pid: int) -> int:
        names = [path.readlink() for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]
        return sum(str(name).startswith("socket:") for name in names)

    before = {pid: sockets(pid) for pid in served.workers()}
    for _ in range(40):
        assert served("GET", "/version", connection=served.connect()).code == 200
    assert all(10 <= sockets(pid) - count <= 30 for pid, count in before.items())
