"""Exactly one pod for each wanted one, whatever becomes of the connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controllers.workloads.podcontrol import MAX_NAME_BASE, PodControl, pod_name, slow_start
from machinery.errors import ApiError, Forbidden, ServiceUnavailable, already_exists, not_found
from machinery.objects import Object
from machinery.resources import Resource

LOST = ServiceUnavailable("cannot reach the API server")


class FakeApi:
    """Keeps pods by name. Answers may get lost, calls be refused, and names be taken by somebody else's pod."""

    def __init__(self) -> None:
        self.pods: dict[str, Object] = {}
        self.calls: list[str] = []
        self.lost_answers = 0
        self.taken = 0
        self.refuse: ApiError | None = None

    def create(self, resource: Resource, pod: Object) -> Object:
        name = pod["metadata"]["name"]
        self.calls.append(name)
        if self.refuse is not None:
            raise self.refuse
        if self.taken:
            self.taken -= 1
            self.pods[name] = {"metadata": {"name": name, "uid": "foreign"}}
        if name in self.pods:
            raise already_exists("pods", name)
        self.pods[name] = {**pod, "metadata": {**pod["metadata"], "uid": f"uid-{name}"}}
        self._answer()
        return self.pods[name]

    def find(self, resource: Resource, name: str, namespace: str) -> Object | None:
        return self.pods.get(name)

    def delete(self, resource: Resource, name: str, namespace: str, *, uid: str) -> None:
        self.calls.append(name)
        if self.pods.pop(name, None) is None:
            raise not_found("pods", name)
        self._answer()

    def _answer(self) -> None:
        if self.lost_answers:
            self.lost_answers -= 1
            raise LOST


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def control(api: FakeApi, recorder: Any) -> PodControl:
    return PodControl(api, recorder)  # type: ignore[arg-type]


@pytest.fixture
def seen(control: PodControl, api: FakeApi) -> Callable[[], None]:
    """Lets the watch show all pods that there are."""

    def show() -> None:
        for pod in api.pods.values():
            control.observed("ns/rc", None, pod)

    return show


def create(control: PodControl, owner: Object, count: int) -> None:
    control.create(owner, owner["spec"]["template"], count)


@pytest.mark.parametrize(("count", "batches"), [(0, []), (1, [1]), (2, [1, 1]), (8, [1, 2, 4, 1])])
def test_slow_start(count: int, batches: list[int]) -> None:
    assert list(slow_start(count)) == batches


def test_a_long_owner_name_leaves_room_for_the_suffix(rc: Any) -> None:
    owner = rc()
    owner["metadata"]["name"] = "a" * 63
    assert len(pod_name(owner)) == MAX_NAME_BASE + 5


def test_creates_pods_of_the_template(control: PodControl, api: FakeApi, rc: Any, recorder: Any) -> None:
    create(control, rc(), 3)
    assert len(api.pods) == 3
    for name, pod in api.pods.items():
        assert name.startswith("rc-")
        assert pod["metadata"]["generateName"] == "rc-"
        assert pod["metadata"]["labels"] == {"app": "x"}
        assert pod["metadata"]["ownerReferences"][0]["uid"] == "uid-rc"
        assert ("SuccessfulCreate", f"Created pod: {name}") in recorder.events


def test_is_settled_once_the_watch_shows_the_pods(control: PodControl, rc: Any, seen: Callable[[], None]) -> None:
    create(control, rc(), 2)
    assert not control.settle("ns/rc")
    seen()
    assert control.settle("ns/rc")


def test_a_lost_answer_does_not_make_a_second_pod(
    control: PodControl, api: FakeApi, rc: Any, seen: Callable[[], None]
) -> None:
    api.lost_answers = 1
    with pytest.raises(ServiceUnavailable):
        create(control, rc(), 1)
    assert not control.settle("ns/rc"), "the call is repeated, and the watch has not shown the pod"
    assert len(api.pods) == 1
    assert len(api.calls) == 2
    seen()
    assert control.settle("ns/rc")


def test_a_lost_request_is_made_up_for(control: PodControl, api: FakeApi, rc: Any, seen: Callable[[], None]) -> None:
    api.refuse = LOST
    with pytest.raises(ServiceUnavailable):
        create(control, rc(), 1)
    with pytest.raises(ServiceUnavailable):
        control.settle("ns/rc")
    api.refuse = None
    control.settle("ns/rc")
    assert len(set(api.calls)) == 1, "the same name each time"
    seen()
    assert control.settle("ns/rc")


def test_the_watch_may_be_faster_than_the_answer(
    control: PodControl, api: FakeApi, rc: Any, seen: Callable[[], None]
) -> None:
    api.lost_answers = 1
    with pytest.raises(ServiceUnavailable):
        create(control, rc(), 1)
    seen()
    assert control.settle("ns/rc")
    assert len(api.pods) == 1


def test_the_first_error_ends_the_batches(control: PodControl, api: FakeApi, rc: Any, recorder: Any) -> None:
    api.refuse = Forbidden("exceeded quota")
    with pytest.raises(Forbidden):
        create(control, rc(), 8)
    assert len(api.calls) == 1
    assert recorder.events == [("FailedCreate", "Error creating: exceeded quota")]
    assert control.settle("ns/rc"), "nothing is on its way"


def test_a_terminating_namespace_is_no_error(control: PodControl, api: FakeApi, rc: Any, recorder: Any) -> None:
    api.refuse = Forbidden("is being terminated", details={"causes": [{"reason": "NamespaceTerminating"}]})
    create(control, rc(), 2)
    assert recorder.events == []
    assert control.settle("ns/rc")


def test_a_name_that_is_taken_is_changed(control: PodControl, api: FakeApi, rc: Any) -> None:
    api.taken = 1
    create(control, rc(), 1)
    [foreign] = [pod for pod in api.pods.values() if "ownerReferences" not in pod["metadata"]]
    [ours] = [pod for pod in api.pods.values() if "ownerReferences" in pod["metadata"]]
    assert api.calls == [foreign["metadata"]["name"], ours["metadata"]["name"]]


def test_deletes_and_waits_until_the_watch_shows_it(control: PodControl, api: FakeApi, rc: Any, pod: Any) -> None:
    victims = [pod("a"), pod("b")]
    api.pods = {victim["metadata"]["name"]: victim for victim in victims}
    control.delete(rc(), victims)
    assert api.pods == {}
    assert not control.settle("ns/rc")
    control.observed("ns/rc", victims[0], pod("a", deleting=True))
    control.observed("ns/rc", victims[1], None)
    assert control.settle("ns/rc")


def test_what_is_gone_already_counts_as_deleted(control: PodControl, rc: Any, pod: Any) -> None:
    control.delete(rc(), [pod("gone")])
    assert control.settle("ns/rc")


def test_a_deletion_with_a_lost_answer_is_repeated(control: PodControl, api: FakeApi, rc: Any, pod: Any) -> None:
    api.pods = {"a": pod("a")}
    api.lost_answers = 1
    with pytest.raises(ServiceUnavailable):
        control.delete(rc(), [pod("a")])
    assert control.settle("ns/rc"), "it is gone, and nobody waits for it"
    assert api.calls == ["a", "a"]


def test_an_owner_that_is_gone_leaves_nothing_to_repeat(control: PodControl, api: FakeApi, rc: Any) -> None:
    api.refuse = LOST
    with pytest.raises(ServiceUnavailable):
        create(control, rc(), 1)
    control.forget("ns/rc")
    assert control.settle("ns/rc")
    assert len(api.calls) == 1
