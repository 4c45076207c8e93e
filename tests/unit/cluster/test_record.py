"""Files of the state directory that a full disk or a lost power supply left damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from cluster import record, table
from cluster.cli import main
from cluster.errors import ClusterError
from cluster.settings import State

DAMAGED = ["", '{"id', "[1]", '{"nobody": 1}']


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_record_is_named_with_what_to_do(tmp_path: Path, text: str) -> None:
    state = State(tmp_path)
    state.record.write_text(text)
    with pytest.raises(ClusterError, match=r"is damaged: .*Remove it"):
        record.load(state)


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_table_is_as_none(tmp_path: Path, text: str) -> None:
    state = State(tmp_path)
    state.children.write_text(text)
    assert table.read(state) == []


def test_a_command_shows_a_line_instead_of_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    State(tmp_path).record.write_text("")
    result = CliRunner().invoke(main, ["--state-dir", str(tmp_path), "status"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ") and "is damaged" in result.output
