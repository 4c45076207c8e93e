"""Our context comes into the user's kubeconfig and goes out of it, and nothing else changes."""

from __future__ import annotations

import datetime
import os
import pwd
import stat
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from cluster import kubeconfigs, pki
from cluster.record import ClusterRecord
from cluster.settings import State

FOREIGN = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "work", "cluster": {"server": "https://work"}}],
    "users": [{"name": "me", "user": {"token": "t"}}],
    "contexts": [{"name": "work", "context": {"cluster": "work", "user": "me"}}],
    "current-context": "work",
    "preferences": {"colors": True},
}
RECORD = ClusterRecord("abcd", "node", "172.17.0.1", "172.17.0.0/16")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "home" / "config"))
    state = State(tmp_path / "state")
    pki.ensure(state, "node", "172.17.0.1", now=datetime.datetime.now(datetime.UTC))
    kubeconfigs.write_all(state)
    return state


def merge(state: State, record: ClusterRecord = RECORD) -> ClusterRecord:
    return replace(record, **kubeconfigs.merge(state, record))  # type: ignore[arg-type]


def users() -> Path:
    return kubeconfigs.users_file()


def test_a_file_that_was_not_there_comes_and_goes(state: State) -> None:
    record = merge(state)
    assert yaml.safe_load(users().read_text())["current-context"] == "mini-minishift"
    assert stat.S_IMODE(users().stat().st_mode) == 0o600
    assert kubeconfigs.unmerge(record)
    assert not users().exists()


def test_a_file_with_other_contexts_is_as_before_in_the_end(state: State) -> None:
    users().parent.mkdir()
    users().write_text(yaml.safe_dump(FOREIGN))
    record = merge(state)
    merged = yaml.safe_load(users().read_text())
    assert merged["current-context"] == "mini-minishift"
    assert [context["name"] for context in merged["contexts"]] == ["work", "mini-minishift", "mini-minishift-developer"]
    assert kubeconfigs.unmerge(record)
    assert yaml.safe_load(users().read_text()) == FOREIGN


def test_a_second_up_remembers_what_was_selected_before_the_first(state: State) -> None:
    users().parent.mkdir()
    users().write_text(yaml.safe_dump(FOREIGN))
    assert merge(state, merge(state)).previous_context == "work"


def test_a_context_that_the_user_selected_since_then_stays_selected(state: State) -> None:
    users().parent.mkdir()
    users().write_text(yaml.safe_dump(FOREIGN))
    record = merge(state)
    merged = yaml.safe_load(users().read_text())
    merged["contexts"].append({"name": "third", "context": {"cluster": "work", "user": "me"}})
    users().write_text(yaml.safe_dump({**merged, "current-context": "third"}))
    kubeconfigs.unmerge(record)
    assert yaml.safe_load(users().read_text())["current-context"] == "third"


def test_a_file_with_the_developer_selected_is_as_before_in_the_end(state: State) -> None:
    users().parent.mkdir()
    users().write_text(yaml.safe_dump(FOREIGN))
    record = merge(state)
    merged = yaml.safe_load(users().read_text())
    users().write_text(yaml.safe_dump({**merged, "current-context": "mini-minishift-developer"}))
    record = merge(state, record)
    assert record.previous_context == "work"
    assert kubeconfigs.unmerge(record)
    assert yaml.safe_load(users().read_text()) == FOREIGN


def test_under_sudo_it_is_the_file_of_the_person_who_typed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", "/root-or-so")
    assert users() == Path("/root-or-so/.kube/config")
    monkeypatch.setenv("SUDO_UID", str(os.getuid()))
    assert users() == Path(pwd.getpwuid(os.getuid()).pw_dir, ".kube", "config")


def test_nothing_to_remove_changes_nothing(state: State) -> None:
    assert not kubeconfigs.unmerge(RECORD)


def test_every_file_of_the_state_is_private(state: State) -> None:
    files = [state.kubeconfig, state.tokens, *state.kubeconfigs.iterdir()]
    assert len(files) == 6
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_the_bearer_token_survives_a_second_up(state: State) -> None:
    before = state.tokens.read_text()
    kubeconfigs.write_all(state)
    assert state.tokens.read_text() == before
    assert before.endswith(",admin,admin,system:masters\n")
