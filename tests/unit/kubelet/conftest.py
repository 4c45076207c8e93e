"""Pods to test with: a case says only what matters to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from machinery.objects import Object

MakePod = Callable[..., Object]


@pytest.fixture
def make_pod() -> MakePod:
    def make(metadata: Object | None = None, **spec: object) -> Object:
        meta = {"name": "p", "namespace": "ns", "uid": "uid-p", **(metadata or {})}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": meta,
            "spec": {"containers": [{"name": "c", "image": "busybox:1"}], **spec},
        }

    return make
