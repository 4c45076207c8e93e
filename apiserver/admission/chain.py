"""The chain of admission plugins, and the order in which they see a request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

from apiserver.admission.plugin import Plugin
from apiserver.model.kind import Kind
from apiserver.registry.admissionrequest import AdmissionRequest, Swap

# Upstream's order (pkg/kubeapiserver/options/plugins.go: AllOrderedPlugins). It matters: limits are filled in before
# anybody looks at them, and quotas are charged when no plugin is left that could refuse. Escalation and ProjectRequest
# are no plugins upstream; there their checks run before admission.
ORDER = (
    "NamespaceLifecycle",
    "Escalation",
    "ProjectRequest",
    "LimitRanger",
    "ServiceAccount",
    "NodeRestriction",
    "PodSecurity",
    "Priority",
    "DefaultTolerationSeconds",
    "RuntimeClass",
    "CertificateApproval",
    "CertificateSigning",
    "CertificateSubjectRestriction",
    "ResourceQuota",
)
_MOST_SORTS = 4096


class Chain:
    """The plugins of a server, in their order. The verbs know it as ``registry.admissionrequest.Admission``."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self.plugins = tuple(plugins)
        # (operation, id of the kind, subresource) → the kind, and the plugins that may handle such requests. To ask all
        # of them three times took a tenth of a create.
        self._sorts: dict[tuple[str, int, str], tuple[Kind, tuple[Plugin, ...]]] = {}

    def _handling(self, request: AdmissionRequest) -> Iterator[Plugin]:
        """Yield the plugins that handle a request, in their order."""
        kind, sort = request.kind, (request.operation, id(request.kind), request.subresource)
        known = self._sorts.get(sort)
        if known is None or known[0] is not kind:
            if len(self._sorts) >= _MOST_SORTS:  # Kinds of custom resources come and go.
                self._sorts.clear()
            plugins = tuple(plugin for plugin in self.plugins if plugin.looks_inside or plugin.handles(request))
            known = self._sorts[sort] = (kind, plugins)
        for plugin in known[1]:
            if not plugin.looks_inside or plugin.handles(request):
                yield plugin

    def admit(self, request: AdmissionRequest) -> None:
        for plugin in self._handling(request):
            plugin.admit(request)

    def guard(self, request: AdmissionRequest) -> AbstractContextManager[None]:
        guarding = [plugin for plugin in self._handling(request) if type(plugin).guard is not Plugin.guard]
        return guarding[0].guard(request) if len(guarding) == 1 else _all_guards(guarding, request)

    def validate(self, request: AdmissionRequest) -> Sequence[Swap]:
        swaps: list[Swap] = []
        for plugin in self._handling(request):
            swaps += plugin.validate(request) or ()
        return swaps


@contextmanager
def _all_guards(plugins: Iterable[Plugin], request: AdmissionRequest) -> Iterator[None]:
    with ExitStack() as stack:
        for plugin in plugins:
            stack.enter_context(plugin.guard(request))
        yield


def chain(plugins: Iterable[Plugin], disabled: Iterable[str] = ()) -> Chain:
    """Return the plugins in upstream's order, without the ``disabled`` ones (--disable-admission-plugins).

    Raises ValueError for a disabled name that is none of the plugins' or cannot be switched off, and for a plugin
    without a place in ``ORDER``.
    """
    ordered = sorted(plugins, key=lambda plugin: ORDER.index(plugin.name))
    names = [plugin.name for plugin in ordered if plugin.optional]
    if unknown := set(disabled) - set(names):
        known = ", ".join(names)
        raise ValueError(f"--disable-admission-plugins: unknown: {', '.join(sorted(unknown))}; there are {known}")
    return Chain(plugin for plugin in ordered if plugin.name not in disabled)
