"""From labels to what is asked of a namespace's pods."""

from __future__ import annotations

import pytest

from apiserver.podsecurity.policy import LevelVersion, NamespacePolicy, policy_of

PREFIX = "pod-security.kubernetes.io/"


def labels(**modes: str) -> dict[str, str]:
    return {PREFIX + mode.replace("_", "-"): value for mode, value in modes.items()}


def test_without_labels_everything_may_run() -> None:
    assert policy_of({"app": "web"}) == (NamespacePolicy(), [])
    assert str(NamespacePolicy().enforce) == "privileged:latest"


def test_each_mode_has_its_own_level_and_version() -> None:
    policy, errors = policy_of(labels(enforce="baseline", enforce_version="v1.20", warn="restricted"))
    assert errors == []
    assert [str(level) for level in policy] == ["baseline:v1.20", "privileged:latest", "restricted:latest"]


@pytest.mark.parametrize("version", ["1.20", "v1.020", "v2.0", "", "newest", "v1"])
def test_a_version_is_one_of_kubernetes_or_latest(version: str) -> None:
    policy, [error] = policy_of(labels(warn_version=version))
    assert str(error) == (
        f'metadata.labels[{PREFIX}warn-version]: Invalid value: "{version}": must be "latest" or "v1.x"'
    )
    assert policy.warn.minor is None


def test_an_unknown_level_is_enforced_as_the_strictest_and_not_warned_of() -> None:
    policy, errors = policy_of(labels(enforce="hard", warn="hard"))
    assert (policy.enforce.level, policy.warn.level) == ("restricted", "privileged")
    assert str(errors[0]) == (
        f'metadata.labels[{PREFIX}enforce]: Invalid value: "hard": must be one of privileged, baseline, restricted'
    )
    assert len(errors) == 2


def test_strictness() -> None:
    assert LevelVersion("restricted").stricter_than(LevelVersion("baseline", 20))
    assert not LevelVersion("baseline").stricter_than(LevelVersion("baseline", 20))
