"""The API server's flags: what is wrong with them is said before anything starts."""

from __future__ import annotations

import pytest
from everykind import plugins as every_plugin

from apiserver.admission.chain import ORDER, chain
from apiserver.assembly import assemble
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


def test_admission_plugins_can_be_left_out() -> None:
    config = parse_config(["--etcd-servers=unix:x", "--disable-admission-plugins=ServiceAccount,Priority"])
    plugins = every_plugin(None)
    names = [plugin.name for plugin in chain(reversed(plugins), config.disable_admission_plugins).plugins]
    assert names == [name for name in ORDER if name not in ("ServiceAccount", "Priority")]
    assert [plugin.name for plugin in chain(plugins).plugins] == list(ORDER)
    with pytest.raises(SystemExit) as error:
        assemble(parse_config(["--etcd-servers=unix:x:0", "--disable-admission-plugins=Magic"]))
    assert "--disable-admission-plugins: unknown: Magic; there are NamespaceLifecycle, " in str(error.value)


def test_what_is_no_plugin_upstream_cannot_be_switched_off() -> None:
    with pytest.raises(ValueError, match="unknown: Escalation; there are NamespaceLifecycle, LimitRanger, "):
        chain(every_plugin(None), ["Escalation"])
