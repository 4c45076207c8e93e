"""The order in which admission plugins see a request."""

from __future__ import annotations

from collections.abc import Iterable

from apiserver.admission.plugin import Plugin

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


def chain(plugins: Iterable[Plugin], disabled: Iterable[str] = ()) -> tuple[Plugin, ...]:
    """Return the plugins in upstream's order, without the ``disabled`` ones (--disable-admission-plugins).

    Raises ValueError for a disabled name that is none of the plugins' or cannot be switched off, and for a plugin
    without a place in ``ORDER``.
    """
    ordered = sorted(plugins, key=lambda plugin: ORDER.index(plugin.name))
    names = [plugin.name for plugin in ordered if plugin.optional]
    if unknown := set(disabled) - set(names):
        known = ", ".join(names)
        raise ValueError(f"--disable-admission-plugins: unknown: {', '.join(sorted(unknown))}; there are {known}")
    return tuple(plugin for plugin in ordered if plugin.name not in disabled)
