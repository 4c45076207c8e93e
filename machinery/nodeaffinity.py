"""Match nodeSelector and node affinity (upstream: k8s.io/component-helpers/scheduling/corev1/nodeaffinity)."""

from __future__ import annotations

from collections.abc import Mapping

from machinery.digits import is_number
from machinery.objects import Object, labels_of


def matches_node_affinity(pod: Object, node: Object) -> bool:
    """Return True if the node has all labels of nodeSelector and matches a term of the required affinity."""
    labels = labels_of(node)
    selector = pod["spec"].get("nodeSelector", {})
    if not selector.items() <= labels.items():
        return False
    required = _affinity(pod).get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    return any(matches_term(term, node) for term in required.get("nodeSelectorTerms", ()))


def preferred_weight(pod: Object, node: Object) -> int:
    """Return the sum of the weights of the preferred terms that the node matches."""
    preferred = _affinity(pod).get("preferredDuringSchedulingIgnoredDuringExecution", ())
    terms = ((each.get("weight", 0), each.get("preference")) for each in preferred)
    return sum(weight for weight, term in terms if not term or matches_term(term, node))


def matches_term(term: Object, node: Object) -> bool:
    """Return True if the node matches all expressions of the term. A term without any matches no node."""
    expressions = term.get("matchExpressions", ())
    fields = term.get("matchFields", ())
    if not expressions and not fields:
        return False
    labels = labels_of(node)
    by_field = {"metadata.name": node["metadata"]["name"]}
    return all(holds(each, labels) for each in expressions) and all(holds(each, by_field) for each in fields)


def holds(expression: Object, values: Mapping[str, str]) -> bool:
    """Return True if one requirement of a node selector holds for the values, which are labels or fields by name.

    Node selectors have two operators more than label selectors: Gt and Lt.
    """
    name, operator, wanted = expression["key"], expression["operator"], expression.get("values", [])
    have = values.get(name)
    if operator == "In":
        return have in wanted
    if operator == "NotIn":
        return have not in wanted
    if operator == "Exists":
        return have is not None
    if operator == "DoesNotExist":
        return have is None
    if (
        operator in ("Gt", "Lt")
        and have is not None
        and is_number(have, signed=True)
        and wanted
        and is_number(wanted[0], signed=True)
    ):
        return int(have) > int(wanted[0]) if operator == "Gt" else int(have) < int(wanted[0])
    return False


def _affinity(pod: Object) -> Object:
    affinity: Object = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    return affinity
