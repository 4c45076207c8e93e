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
        """This node's name, as in its Node object."""

    def pods(self) -> list[Object]:
        """The pods of this node with their newest status (GET /pods). Never modified by the server."""

    def pod(self, namespace: str, name: str) -> Object | None:
        """One of them, with its newest status: the server words its refusals from ``status.containerStatuses``."""

    def container_id(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> str:
        """The Docker id of the container's newest attempt, running or exited, or with ``previous`` of the one before.

        Init containers count too. Raises ``machinery.errors.NotFound`` (message: ``container "c" not found in pod
        "p"``) when Docker has no such container; the server has looked at the pod's spec and status before.
        """

    def container_pid(self, namespace: str, pod: str, container: str) -> int:
        """The first process of the container's newest attempt, 0 if it does not run. Raises as ``container_id``."""

    def sandbox_pid(self, namespace: str, pod: str) -> int:
        """A process whose network namespace is the pod's (``/proc/<pid>/ns/net``): the sandbox' own.

        0 means the node's own network (hostNetwork). Raises NotFound when the pod has no running sandbox.
        """

    def healthy(self) -> str:
        """Return "" if the agent works, else what is wrong (GET /healthz answers 500 with it)."""
