"""Which client can do what on this API server: ``docs/compatibility.md``, written from what the tests of clients did.

A test says whose it is (``pytest.mark.client("lightkube")`` on its module) and what it shows
(``pytest.mark.verb("get")``). What a client cannot do by itself stands in ``lacks`` of its mark. Tests of kubectl are
told apart by the generation in their parameters, and what one of them lacks by its name.

The table in the repository must be what the tests say. A run of them all is compared with the whole of it, a run of
some with their cells; ``--record`` writes it anew from a run of all, or these cells from one of some.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[1] / "docs" / "compatibility.md"
LIBRARIES = ("kubernetes", "kubernetes dynamic", "kubernetes_asyncio", "lightkube", "kr8s", "pykube-ng")
KUBECTLS = ("kubectl 1.20", "kubectl 1.32")
# The rows of the libraries' table, in their order; those of kubectl are its commands, sorted.
VERBS = (
    "create", "get", "list", "selectors", "chunks", "watch", "watch resumed", "JSON patch", "merge patch",
    "strategic merge patch", "server-side apply", "replace", "delete", "deletecollection", "status", "scale", "wait",
    "logs", "logs followed", "exec", "attach", "port-forward", "proxy", "custom resources", "errors", "tables",
    "discovery", "in-cluster config", "leader election", "events",
)  # fmt: skip
YES, NO, LACKS = "yes", "no", "-"

HTTP = """\
## HTTP

HTTP/1.1 and 1.0, with keep-alive, pipelining, chunked bodies and `Expect: 100-continue`. ALPN says `http/1.1`:
HTTP/2 is not offered. Bodies are JSON, YAML or protobuf; of custom resources, which have no form in protobuf, only
the metadata are. Answers are never compressed: on one machine gzip costs more time than it saves. Watches, logs, exec,
attach and port-forward are served over WebSocket too, the last three also over SPDY.
"""

Cell = tuple[str, str]  # verb, client


class Compatibility:
    """A pytest plugin: collects the cells of a run, and at its end compares or writes them."""

    def __init__(self, *, record: bool) -> None:
        self._record = record
        self._cells: dict[Cell, str] = {}
        self._complete = False
        self._problem = ""

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        for item in items:
            client = client_of(item)
            if client is None:
                continue
            for verb in lacking(item):
                self._cells[verb, client] = LACKS
            named = [*verbs_of(item), *lacking(item)]
            unknown = [verb for verb in named if client in LIBRARIES and verb not in VERBS]
            if unknown:
                raise pytest.UsageError(f"{item.nodeid} shows {unknown}, which compatibility.VERBS does not have")
        folders = {Path(argument).resolve() for argument in config.args if "::" not in argument}
        here = Path(__file__).parent
        narrowed = config.option.keyword or config.option.markexpr or config.option.deselect
        self._complete = not narrowed and bool(folders & {here, here / "integration"})

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
        report = yield
        client = client_of(item)
        if client is not None and (report.when == "call" or report.failed):
            for verb in set(verbs_of(item)) - set(lacking(item)):
                said = YES if report.passed else f"{NO}: {report.wasxfail}" if hasattr(report, "wasxfail") else NO
                if not report.skipped or said != NO:
                    self._cells[verb, client] = worst(self._cells.get((verb, client), YES), said)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if not self._cells or session.config.option.collectonly:
            return
        committed = read(DOCUMENT.read_text() if DOCUMENT.exists() else "")
        if exitstatus != pytest.ExitCode.OK:
            return
        if self._record:
            DOCUMENT.write_text(render(self._cells if self._complete else committed | self._cells))
        else:
            # A generation of kubectl that this machine lacks says nothing against its column.
            ran = {client for _, client in self._cells}
            expected = {cell: said for cell, said in committed.items() if cell[1] in ran} if self._complete else {
                cell: committed.get(cell, "") for cell in self._cells
            }  # fmt: skip
            differing = sorted(cell for cell in expected | self._cells if expected.get(cell) != self._cells.get(cell))
            if differing:
                self._problem = f"docs/compatibility.md is not what the tests say about {differing}"
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._problem:
            terminalreporter.section("compatibility", red=True)
            terminalreporter.line(f"{self._problem}; see --record")


def client_of(item: pytest.Item) -> str | None:
    """Whose test it is."""
    mark = item.get_closest_marker("client")
    if mark is None:
        return None
    generation = getattr(item, "callspec", None) and item.callspec.params.get("kubectl")  # type: ignore[attr-defined]
    return f"kubectl {generation}" if generation else str(mark.args[0])


def verbs_of(item: pytest.Item) -> list[str]:
    return [verb for mark in item.iter_markers("verb") for verb in mark.args]


def lacking(item: pytest.Item) -> Iterable[str]:
    """What the client has no way to do."""
    mark, client = item.get_closest_marker("client"), client_of(item)
    lacks: Iterable[str] | Mapping[str, Iterable[str]] = mark.kwargs.get("lacks", ()) if mark is not None else ()
    return lacks.get(client or "", ()) if isinstance(lacks, Mapping) else lacks


def worst(one: str, other: str) -> str:
    """What two tests together say of a cell."""
    return next((said for said in (one, other) if said.startswith(NO)), YES)


def render(cells: Mapping[Cell, str]) -> str:
    """The document."""
    commands = sorted({verb for verb, client in cells if client in KUBECTLS})
    return "\n".join(
        [
            "# Clients",
            "",
            "What unmodified clients do on this API server, as its tests found it: a `yes` is a test or more with the",
            "real client, a `-` says that the client has no such verb. The test run writes this page",
            "(`pytest tests/integration --record`) and fails when it differs.",
            "",
            "## Python libraries",
            "",
            "Their versions are those of the extra `clients` in `pyproject.toml`.",
            "",
            *_table(cells, VERBS, LIBRARIES),
            "",
            "## kubectl",
            "",
            *_table(cells, commands, KUBECTLS),
            "",
            *HTTP.splitlines(),
        ]
    )


def _table(cells: Mapping[Cell, str], rows: Iterable[str], columns: Iterable[str]) -> list[str]:
    columns = list(columns)
    head = [f"| | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
    return head + [f"| {row} | {' | '.join(cells.get((row, column), '?') for column in columns)} |" for row in rows]


def read(document: str) -> dict[Cell, str]:
    """The cells of a rendered document."""
    cells: dict[Cell, str] = {}
    columns: list[str] = []
    for line in document.splitlines():
        if not line.startswith("| "):
            continue
        first, *rest = (cell.strip() for cell in line.strip("|").split("|"))
        if not first:
            columns = rest
        elif first != "---":
            cells |= {(first, column): said for column, said in zip(columns, rest, strict=True) if said != "?"}
    return cells
