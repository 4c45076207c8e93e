"""What the server asks of the node agent: which pods there are and which Docker containers stand for them.

The agent implements ``PodHost``; the server never looks at labels or names of containers itself, so that the
rule for which attempt of a container is the current one lives in one place.
"""

from __future__ import annotations

from typing import Protocol

from machinery.objects import Object


class PodHost(Protocol):
    """The node agent as the server sees it. Every method may be called from any thread, several at once."""

    @property
    def node_name(self) -> str:
        """Return the name of this node's Node object."""

    def pods(self) -> list[Object]:
        """Return the pods of this node with their newest status (GET /pods). The server does not modify them."""

    def pod(self, namespace: str, name: str) -> Object | None:
        """Return one of them with its newest status, None if this node has no such pod."""

    def container_id(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> str:
        """Return the runtime's id of a container's newest attempt, running or exited; with ``previous`` of the one
        before.

        Init containers count too. Raises ``machinery.errors.NotFound`` (message: ``container "c" not found in pod
        "p"``) when Docker has no such container; the server has looked at the pod's spec and status before.
        """

    def container_pid(self, namespace: str, pod: str, container: str) -> int:
        """Return the first process of a container's newest attempt, 0 if it does not run. Raises as
        ``container_id``.
        """

    def sandbox_pid(self, namespace: str, pod: str) -> int:
        """Return a process in the pod's network namespace (``/proc/<pid>/ns/net``): the sandbox's own.

        0 means the node's own network (hostNetwork). Raises NotFound when the pod has no running sandbox.
        """

    def healthy(self) -> str:
        """Return "" if the agent works, else what is wrong (GET /healthz answers 500 with it)."""
