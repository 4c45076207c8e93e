"""What a user of the plugin sees, in pytest runs of their own."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., pytest.RunResult]


def test_fixtures_give_a_server_a_namespace_and_access(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile("""
        import os
        import pytest
        import sys
        import types
        from mini_minishift.testing import ApiError

        seen = []

        def test_namespace(kube_server, kube_namespace):
            seen.append(kube_namespace)
            body = {"metadata": {"name": "a"}}
            kube_server.request("POST", f"/api/v1/namespaces/{kube_namespace}/configmaps", body)

        def test_the_namespace_of_the_test_before_goes(kube_server, kube_namespace):
            assert kube_namespace != seen[0]
            watch = f"/api/v1/namespaces?watch=true&timeoutSeconds=5&fieldSelector=metadata.name={seen[0]}"
            for event in kube_server.watch(watch):
                assert event["object"]["status"]["phase"] == "Terminating"
                if event["type"] == "DELETED":
                    break
            with pytest.raises(ApiError, match="not found"):
                kube_server.request("GET", f"/api/v1/namespaces/{seen[0]}")

        # What such libraries remember of the environment in which they were imported.
        remembered = types.SimpleNamespace(KUBE_CONFIG_DEFAULT_LOCATION="theirs")
        sys.modules["kubernetes.config.kube_config"] = remembered

        def test_kubeconfig(kubeconfig, kube_server):
            assert remembered.KUBE_CONFIG_DEFAULT_LOCATION == str(kubeconfig)
            assert os.environ["KUBECONFIG"] == str(kubeconfig)
            assert kube_server.url in kubeconfig.read_text()
            assert "KUBERNETES_SERVICE_HOST" not in os.environ

        def test_environment_is_as_before():
            assert remembered.KUBE_CONFIG_DEFAULT_LOCATION == "theirs"
            assert (os.environ["KUBECONFIG"], os.environ["KUBERNETES_SERVICE_HOST"]) == ("theirs", "10.0.0.1")

        def test_a_second_server(start_kube_server, kube_server):
            other = start_kube_server(controllers="none")
            assert other.url != kube_server.url
            for server in (other, kube_server):
                assert server.request("GET", "/api/v1/namespaces/default")["kind"] == "Namespace"
    """)
    monkeypatch.setenv("KUBECONFIG", "theirs")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    run().assert_outcomes(passed=5)


def test_a_failed_test_shows_what_its_servers_were_asked(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile("""
        def test_passes(kube_server):
            kube_server.create_namespace("passed-")

        def test_fails(kube_server, start_kube_server):
            kube_server.request("POST", "/api/v1/namespaces", {"metadata": {"name": "failed"}})
            start_kube_server(controllers="none").create_namespace("other-")
            raise AssertionError("on purpose")

        def test_fails_without_a_server():
            raise AssertionError("on purpose")
    """)
    result = run()
    result.assert_outcomes(passed=1, failed=2)
    sections = [line for line in result.outlines if "Kubernetes API server at https://127.0.0.1:" in line]
    asked = [line for line in result.outlines if " POST " in line]
    assert len(sections) == len(asked) == 2
    assert all("/api/v1/namespaces 201" in line and "admin with mini-minishift-tests" in line for line in asked)


def test_each_xdist_worker_has_a_server_of_its_own(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.mark.parametrize("number", range(4))
        def test_url(kube_server, kube_namespace, number, worker_id):
            with open(f"urls-{worker_id}", "a") as file:
                file.write(kube_server.url + "\\n")
    """)
    run("-p", "xdist", "-n", "2").assert_outcomes(passed=4)
    urls = {file.name: set(file.read_text().split()) for file in pytester.path.glob("urls-gw*")}
    assert set(urls) == {"urls-gw0", "urls-gw1"}
    assert [len(each) for each in urls.values()] == [1, 1]
    assert not set.intersection(*urls.values())


def test_settings_are_read_from_the_ini_file_and_the_command_line_wins(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makeini("[pytest]\nkube_controllers = none\nkube_store = etcd\nkube_log_lines = 0")
    pytester.makepyfile("""
        def test_controllers(kube_server, kube_namespace):
            assert not kube_server.request("GET", f"/api/v1/namespaces/{kube_namespace}/serviceaccounts")["items"]
            assert not (kube_server.folder / "etcd").exists()

        def test_fails(kube_namespace):
            raise AssertionError("on purpose")
    """)
    result = run("--kube-store=memory")
    result.assert_outcomes(passed=1, failed=1)
    assert "Kubernetes API server at" not in result.stdout.str()


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("kube_timeout = soon", "could not convert string to float: 'soon'"),
        ("kube_store = etcd\nkube_etcd = /nowhere/etcd", "there is no program '/nowhere/etcd' here. Install etcd"),
    ],
)
def test_a_wrong_setting_is_told(pytester: pytest.Pytester, run: Run, setting: str, complaint: str) -> None:
    pytester.makeini(f"[pytest]\n{setting}")
    pytester.makepyfile("def test_one(kube_server): pass")
    result = run()
    result.assert_outcomes(errors=1)
    assert complaint in result.stdout.str()


@pytest.mark.etcd
def test_on_a_real_etcd(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile("""
        def test_restart(kube_server, kube_namespace):
            assert (kube_server.folder / "etcd" / "data" / "member").is_dir()
            kube_server.kill()
            kube_server.start()
            assert kube_server.request("GET", f"/api/v1/namespaces/{kube_namespace}")["status"]["phase"] == "Active"
    """)
    run("--kube-store=etcd").assert_outcomes(passed=1)
    assert not list(pytester.path.glob("**/etcd/data"))


def test_without_the_client_library_it_is_said_what_to_install(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makeconftest("import sys; sys.modules['kubernetes'] = None")
    pytester.makepyfile("def test_one(kube_client): pass")
    result = run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*pip install kubernetes*"])


def test_the_server_ends_with_a_run_that_is_killed(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile("""
        import os, signal

        def test_ends(kube_server):
            with open("pid", "w") as file:
                file.write(f"{kube_server.pid}")
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    assert run().ret == -9
    server = int((pytester.path / "pid").read_text())
    try:
        ends = os.pidfd_open(server)
    except ProcessLookupError:
        return
    try:
        assert select.select([ends], [], [], 5)[0], "the server runs on"
    finally:
        os.close(ends)


def test_a_run_that_does_not_use_the_plugin_loads_next_to_nothing() -> None:
    program = """
        import sys, pytest
        before = set(sys.modules)
        import mini_minishift.pytest_plugin
        print(*sorted(set(sys.modules) - before))
    """
    found = subprocess.run(
        [sys.executable, "-c", "\n".join(line.strip() for line in program.splitlines())],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert found.stdout.split() == ["mini_minishift", "mini_minishift.pytest_plugin"]
