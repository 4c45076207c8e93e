"""The comparison behind ``make walkthrough``: it must accept what the article shows, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[3] / "demo"
sys.path.insert(0, str(DEMO))
import transcript  # noqa: E402

TWO_PODS = """
$ (any order) (within 60 s) kubectl get pods
NAME READY STATUS RESTARTS AGE
<pod1> 1/1 Running 0 <age>
<pod2> 1/1 Running 0 <age>
"""
PRINTED = """NAME         READY   STATUS    RESTARTS   AGE
sise-bkvhs   1/1     Running   0          11m
sise-vncz4   1/1     Running   0          8s
"""


def step(text: str) -> transcript.Step:
    return transcript.parse(text)[0]


def test_reads_commands_options_and_headings() -> None:
    parsed = transcript.parse("# comment\n## Title\n\n$ (within 5 s) one\nout\n\nProse.\n\n$ two\n")
    assert parsed == [
        transcript.Step("## Title", "one", ["out"], False, 5.0),
        transcript.Step("Prose.", "two", [], False, 0.0),
    ]


def test_finds_names_and_forgets_ages() -> None:
    assert transcript.match(step(TWO_PODS), PRINTED, {}) == {"pod1": "sise-bkvhs", "pod2": "sise-vncz4"}


def test_a_known_value_must_be_the_same_again() -> None:
    assert transcript.match(step(TWO_PODS), PRINTED, {"pod1": "sise-vncz4"}) == {
        "pod1": "sise-vncz4",
        "pod2": "sise-bkvhs",
    }
    assert transcript.match(step(TWO_PODS), PRINTED, {"pod1": "sise-zzzzz"}) is None


@pytest.mark.parametrize(
    "printed",
    [
        PRINTED.replace("Running", "Pending", 1),
        PRINTED.replace("vncz4", "bkvhs"),  # the same pod twice
        PRINTED.replace("vncz4", "vncza"),  # a vowel is in no generated name
        PRINTED + "sise-zzzzz 1/1 Running 0 1s\n",
        PRINTED.rpartition("sise")[0],
    ],
)
def test_refuses_other_output(printed: str) -> None:
    assert transcript.match(step(TWO_PODS), printed, {}) is None


def test_dots_stand_for_any_lines_but_the_rest_must_be_there_in_order() -> None:
    described = step("$ x\nName: <pod1>\n...\nIP: <ip1>\n...\n")
    assert transcript.match(described, "Name:  sise-bkvhs\nA\nB\nIP: 172.17.0.2\nC\n", {}) == {
        "pod1": "sise-bkvhs",
        "ip1": "172.17.0.2",
    }
    assert transcript.match(described, "IP: 172.17.0.2\nName: sise-bkvhs\n", {}) is None


def test_chain_names_are_the_articles() -> None:
    assert transcript.endpoint_chain("172.17.0.2") == "KUBE-SEP-ASIN52LB5SMYF6KR"
    assert transcript.endpoint_chain("172.17.0.4") == "KUBE-SEP-RP53IYKEFRDLQANZ"
    assert transcript.fill("-j <sep:ip2> <none>", {"ip2": "172.17.0.4"}) == "-j KUBE-SEP-RP53IYKEFRDLQANZ <none>"


def test_the_seven_rules_of_the_article_fit() -> None:
    post = (Path(__file__).parent / "seven_rules.txt").read_text()
    steps = transcript.parse((DEMO / "walkthrough.txt").read_text())
    seven = next(step for step in steps if len(step.expected) == 7 and step.expected[0].startswith("-A"))
    pods = {"ip1": "172.17.0.2", "ip2": "172.17.0.4"}
    assert transcript.match(seven, post, pods) is not None
    assert transcript.match(seven, post, {"ip1": "172.17.0.4", "ip2": "172.17.0.2"}) is not None
    assert transcript.match(seven, post.replace("0.50000000000", "0.33333333349"), pods) is None
    both_to_one = post.replace("-j KUBE-SEP-RP53IYKEFRDLQANZ", "-j KUBE-SEP-ASIN52LB5SMYF6KR")
    assert transcript.match(seven, both_to_one, pods) is None
