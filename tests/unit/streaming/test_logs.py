"""Which container's log is meant, with upstream's refusals, and how Docker's entries are shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from kubelet.server.logs.containerlogs import LogEntries, LogOptions, find_log, log_container_id
from machinery.errors import BadRequest, NotFound


def pod(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"containers": [{"name": "main"}]},
        "status": {"containerStatuses": [{"name": "main", **status}]},
    }


RUNNING: dict[str, Any] = {"state": {"running": {}}, "containerID": "docker://new"}
ENDED_BEFORE: dict[str, Any] = {"lastState": {"terminated": {"containerID": "docker://old"}}}


@pytest.mark.parametrize(
    ("status", "previous", "expected"),
    [
        (RUNNING, False, "new"),
        (RUNNING | ENDED_BEFORE, True, "old"),
        ({"state": {"terminated": {"containerID": "docker://new"}}}, False, "new"),
        ({"state": {"terminated": {}}} | ENDED_BEFORE, False, "old"),
        ({"state": {"waiting": {"reason": "CrashLoopBackOff"}}} | ENDED_BEFORE, False, "old"),
    ],
)
def test_the_attempt_that_is_meant(status: dict[str, Any], previous: bool, expected: str) -> None:
    assert log_container_id(pod(**status), "main", previous=previous) == expected


@pytest.mark.parametrize(
    ("status", "previous", "message"),
    [
        (RUNNING, True, 'previous terminated container "main" in pod "web" not found'),
        ({"state": {"terminated": {}}}, False, 'container "main" in pod "web" is terminated'),
        (
            {"state": {"waiting": {"reason": "ContainerCreating"}}},
            False,
            'container "main" in pod "web" is waiting to start: ContainerCreating',
        ),
        (
            {"state": {"waiting": {"reason": "ErrImagePull"}}},
            False,
            'container "main" in pod "web" is waiting to start: image can\'t be pulled',
        ),
        (
            {"state": {"waiting": {"reason": "ImagePullBackOff"}}},
            False,
            'container "main" in pod "web" is waiting to start: trying and failing to pull image',
        ),
        ({}, False, 'container "main" in pod "web" is waiting to start - no logs yet'),
    ],
)
def test_refusals(status: dict[str, Any], previous: bool, message: str) -> None:
    with pytest.raises(BadRequest) as refused:
        log_container_id(pod(**status), "main", previous=previous)
    assert refused.value.message == message


def test_unknown_pods_and_containers() -> None:
    with pytest.raises(NotFound, match='pod "gone" does not exist'):
        find_log(None, "gone", "main", LogOptions())
    with pytest.raises(NotFound, match='container "side" not found in pod "web"'):
        find_log(pod(**RUNNING), "web", "side", LogOptions())
    with pytest.raises(BadRequest, match='container "main" in pod "web" is not available'):
        find_log(pod() | {"status": {}}, "web", "main", LogOptions())


def test_options_from_a_query() -> None:
    query = {"follow": ["true"], "tailLines": ["5"], "sinceSeconds": ["60"], "limitBytes": ["10"], "timestamps": ["1"]}
    assert LogOptions.from_query(query, now=1000) == LogOptions(True, False, True, 5, 940, 10)
    assert LogOptions.from_query({"sinceTime": ["1970-01-01T00:01:00Z"]}, now=0).since == 60


@pytest.mark.parametrize(
    "query", [{"tailLines": ["-1"]}, {"limitBytes": ["0"]}, {"sinceTime": ["noon"]}, {"tailLines": ["x"]}]
)
def test_bad_options(query: dict[str, list[str]]) -> None:
    with pytest.raises(BadRequest):
        LogOptions.from_query(query, now=0)


def entry(text: str, time: str = "2026-01-01T00:00:00.5Z") -> bytes:
    return json.dumps({"log": text, "stream": "stdout", "time": time}).encode()


def test_a_long_line_has_one_time_and_nine_digits_of_it() -> None:
    shown = LogEntries(LogOptions(timestamps=True))
    times = ["2026-01-01T00:00:01Z", "2026-01-01T00:00:02.25Z", "2026-01-01T00:00:03.123456789Z"]
    assert shown.show([entry("aaa", times[0]), entry("bbb\n", times[1])]) == b"2026-01-01T00:00:01.000000000Z aaabbb\n"
    assert shown.show([entry("next\n", times[2])]) == b"2026-01-01T00:00:03.123456789Z next\n"


def test_limit_bytes_cuts_within_a_line() -> None:
    shown = LogEntries(LogOptions(limit=6))
    assert shown.show([entry("abc\n")]) == b"abc\n"
    assert not shown.full
    assert shown.show([entry("def\n"), entry("ghi\n")]) == b"de"
    assert shown.full


def test_what_is_too_old_is_not_shown() -> None:
    shown = LogEntries(LogOptions(since=datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC).timestamp()))
    times = ["2026-01-01T00:00:01.999999999Z", "2026-01-01T00:00:02Z", "2026-01-01T00:00:02.000000001Z"]
    assert shown.show([entry(f"{index}\n", time) for index, time in enumerate(times)]) == b"1\n2\n"


def test_a_damaged_entry_is_passed_over() -> None:
    assert LogEntries(LogOptions()).show([b"\0\0\0", entry("a\n"), b'{"log":1}', b"", entry("b\n")]) == b"a\nb\n"
