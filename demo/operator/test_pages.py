"""The operator against a real API server: creation, update, deletion, and what the schema refuses."""

from pathlib import Path

import pytest
from kopf.testing import KopfRunner

from mini_minishift.testing import ApiError

OPERATOR = Path(__file__).with_name("pages.py")


@pytest.fixture
def operator(kubeconfig, kube_namespace):
    """The operator, working on the test's namespace."""
    with KopfRunner(["run", "--standalone", f"--namespace={kube_namespace}", str(OPERATOR)]) as runner:
        yield runner
    assert runner.exit_code == 0


@pytest.fixture
def pages(kube_namespace):
    return f"/apis/demo.mini-minishift.io/v1/namespaces/{kube_namespace}/pages"


@pytest.fixture
def maps(kube_namespace):
    return f"/api/v1/namespaces/{kube_namespace}/configmaps"


def page(name, **spec):
    return {"apiVersion": "demo.mini-minishift.io/v1", "kind": "Page", "metadata": {"name": name}, "spec": spec}


def test_a_pages_life(kube_server, operator, pages, maps):
    kube_server.request("POST", pages, page("home", title="Hi & welcome"))
    rendered = kube_server.wait(f"{maps}/home-html")
    assert rendered["data"]["index.html"] == "<h1>Hi &amp; welcome</h1>\n<p>Nothing here yet.</p>\n"
    assert rendered["metadata"]["ownerReferences"][0]["name"] == "home"
    kube_server.wait(f"{pages}/home", lambda home: home.get("status", {}).get("configMap") == "home-html")

    change = {"spec": {"text": "Hello"}}
    kube_server.request("PATCH", f"{pages}/home", change, content_type="application/merge-patch+json")
    kube_server.wait(f"{maps}/home-html", lambda html: "<p>Hello</p>" in html["data"]["index.html"])

    assert kube_server.request("DELETE", f"{pages}/home")["metadata"]["finalizers"]
    assert kube_server.wait(f"{maps}/home-obituary")["data"] == {"title": "Hi & welcome"}
    kube_server.wait(f"{pages}/home", lambda home: home is None)
    kube_server.wait(f"{maps}/home-html", lambda html: html is None)  # its owner is gone


def test_the_operator_reports_in_events(kube_server, operator, kube_namespace, pages):
    kube_server.request("POST", pages, page("news", title="Old"))
    kube_server.wait(f"{pages}/news", lambda news: "configMap" in news.get("status", {}))
    change = {"spec": {"title": "New"}}
    kube_server.request("PATCH", f"{pages}/news", change, content_type="application/merge-patch+json")
    for event in kube_server.watch(f"/api/v1/namespaces/{kube_namespace}/events?watch=true"):
        if event["object"]["reason"] == "Rendered":
            assert event["object"]["message"] == "now New"
            assert event["object"]["involvedObject"]["name"] == "news"
            return


def test_a_page_of_before_is_rendered_when_the_operator_comes(kube_server, pages, maps, request):
    kube_server.request("POST", pages, page("early", title="First"))
    request.getfixturevalue("operator")
    kube_server.wait(f"{maps}/early-html")


def test_a_page_without_a_title_is_refused(kube_server, pages):
    with pytest.raises(ApiError, match=r"spec\.title: Required value"):
        kube_server.request("POST", pages, page("empty"))
