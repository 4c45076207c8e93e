"""The API server's flags: what is wrong with them is said before anything starts."""

from __future__ import annotations

import pytest

from apiserver import admission
from apiserver.config import parse_config


def test_a_memory_store_may_have_a_file() -> None:
    config = parse_config(["--etcd-servers=memory:/data/store.json", "--workers=1"])
    assert config.in_memory
    assert str(config.memory_file) == "/data/store.json"
    assert parse_config(["--etcd-servers=memory", "--workers=1"]).memory_file is None
    assert parse_config(["--etcd-servers=unix:/data/etcd.sock:0"]).memory_file is None


def test_a_memory_store_is_one_process(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_config(["--etcd-servers=memory:/data/store.json"])
    assert "memory keeps the objects in one process: add --workers=1" in capsys.readouterr().err


def test_admission_plugins_can_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    config = parse_config(["--etcd-servers=unix:x", "--disable-admission-plugins=ServiceAccount,Priority"])
    names = [plugin.name for plugin in admission.chain(config.disable_admission_plugins)]
    assert names == [plugin.name for plugin in admission.CHAIN if plugin.name not in ("ServiceAccount", "Priority")]
    assert admission.chain(()) == admission.CHAIN
    with pytest.raises(SystemExit):
        parse_config(["--etcd-servers=unix:x", "--disable-admission-plugins=Magic"])
    assert "--disable-admission-plugins: unknown: Magic; there are NamespaceLifecycle, " in capsys.readouterr().err
