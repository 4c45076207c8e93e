"""Optional parts of the API server: which are selected, and what remains of the server without them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from everykind import FEATURES, ROWS

from apiserver import features
from apiserver.assembly import assemble
from apiserver.authorization.everybody import AllowAuthenticated
from apiserver.config import Config, parse_config
from apiserver.kinds.rows import core
from apiserver.kinds.services.ranges import ServiceRanges
from apiserver.model.attributes import Attributes
from apiserver.model.user import User
from apiserver.storage.memory import MemoryStore
from machinery.errors import Forbidden


@pytest.mark.parametrize(
    ("asked", "selected"),
    [
        (["*"], features.NAMES),
        (["none"], ()),
        (["quota", "metrics"], ("metrics", "quota")),
        (["*", "-quota"], tuple(name for name in features.NAMES if name != "quota")),
        (["-quota", "*"], tuple(name for name in features.NAMES if name != "quota")),
    ],
)
def test_features_are_selected_by_name(asked: list[str], selected: tuple[str, ...]) -> None:
    assert features.selected(asked) == selected


def test_an_unknown_feature_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(SystemExit) as error:
        assemble(Config(features=("magic",)))
    assert str(error.value).startswith("apiserver: error: --features: no feature is called magic; there are access")


def test_a_feature_that_needs_another_says_so() -> None:
    with pytest.raises(ValueError, match="the feature projects needs accesscontrol: select both or none"):
        features.load(["projects"])


def test_every_file_is_a_feature_of_its_name() -> None:
    assert tuple(feature.name for feature in FEATURES) == features.NAMES


def test_a_kind_belongs_to_one_feature_or_to_the_core() -> None:
    assert len(ROWS) == len(set(ROWS)) == len(core(ServiceRanges())) + sum(len(feature.kinds) for feature in FEATURES)


def test_without_features_none_of_their_files_is_loaded() -> None:
    program = """
import sys
from apiserver.assembly import assemble
from apiserver.config import Config
assemble(Config(features=("none",)))
print(*sorted(name for name in sys.modules if name.startswith("apiserver.features.")))
"""
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == ["apiserver.features.feature"]


def test_the_flag_has_a_list() -> None:
    assert parse_config(["--features=none", "--etcd-servers=unix:x"]).features == ("none",)
    assert parse_config(["--etcd-servers=unix:x"]).features == ("*",)


def test_without_access_control_everybody_may_who_is_known() -> None:
    authorizer, known, unknown = AllowAuthenticated(), User("a", ("system:authenticated",)), User("system:anonymous")
    authorizer.require(Attributes(known, "delete", resource="nodes", name="n"))
    authorizer.require(Attributes(unknown, "get", path="/healthz", is_resource=False))
    with pytest.raises(Forbidden, match='User "system:anonymous" cannot get resource "nodes"'):
        authorizer.require(Attributes(unknown, "get", resource="nodes", name="n"))
    assert not authorizer.allows(Attributes(unknown, "get", path="/metrics", is_resource=False))


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_connection_that_no_feature_serves_is_not_found(method: str, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.csv"
    tokens.write_text("secret,admin,,system:masters\n")
    server = assemble(Config(features=("none",), token_auth_file=tokens), MemoryStore())
    server.start()
    try:
        assert server.bootstrapped.wait(30)
        service, headers = "/api/v1/namespaces/default/services/kubernetes", {"Authorization": "Bearer secret"}
        assert server.wsgi.test_client().get(service, headers=headers).status_code == 200
        answer = server.wsgi.test_client().open(f"{service}/proxy", method=method, headers=headers)
        assert (answer.status_code, answer.get_json()["reason"]) == (404, "NotFound")
    finally:
        server.stop()
