"""HTTP to pods, Services and nodes through the API server (``kubectl proxy``, ``…/proxy`` paths)."""

from __future__ import annotations

from collections.abc import Mapping

from apiserver.api.resources import Handler
from apiserver.features.feature import Core, Feature
from apiserver.streaming.backend import Dialer
from apiserver.streaming.proxy import Proxy


def _handlers(core: Core) -> Mapping[tuple[str, str], Handler]:
    proxy = Proxy(Dialer(core.config), core.rest)
    return {("pods", "proxy"): proxy.pod, ("services", "proxy"): proxy.service, ("nodes", "proxy"): proxy.node}


FEATURE = Feature("proxying", handlers=_handlers)
