"""The rules that the controllers declare are those that the API server hands out."""

from __future__ import annotations

from pathlib import Path

from controllers.manager.rows import roles_document

RECORDED = Path(__file__).parents[3] / "apiserver/authorization/controllerroles.json"


def test_the_api_server_has_the_declared_rules() -> None:
    assert RECORDED.read_text() == roles_document(), (
        "the rules that the controllers declare have changed: run `make controllerroles`, and look at its difference"
    )
