"""Which rules of a role others cover: what somebody would give who does not have it (escalation).

A rule stands for the product of its verbs, groups, resources and names, which may be billions. So the product is not
made. Each verb, group, resource and name gets the set of the owner's rules that have it, as the bits of an int; an atom
(one of each) is covered if the four sets have a rule in common. Elements with equal sets are looked at together.

Upstream: component-helpers/auth/rbac/validation/policy_comparator.go, which makes the product.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Any

from apiserver.authorization.rules import ALL, Rule

# No more atoms are returned: who asks wants to know whether there are any, and shows the first.
_MOST_ATOMS = 10_000
# No more combinations of sets are looked at in all. Behind that everything counts as not covered.
_MOST_COMBINATIONS = 1_000_000


def uncovered(owner: Sequence[Rule], servant: Iterable[Rule]) -> list[Rule]:
    """Return what the servant's rules allow and the owner's do not, as rules of one verb, group, resource and name.

    Of very many only the first are returned.
    """
    covering = _Covering(owner)
    return list(islice((atom for rule in servant for atom in covering.uncovered(rule)), _MOST_ATOMS))


class _Covering:
    """What the owner's rules allow: for each verb, group … the rules that have it, as bits."""

    def __init__(self, owner: Sequence[Rule]) -> None:
        self._combinations = _MOST_COMBINATIONS
        self._verbs = _bits(owner, "verbs")
        self._groups = _bits(owner, "apiGroups")
        self._resources = _bits(owner, "resources")
        self._names = _bits(owner, "resourceNames")
        self._urls = _bits(owner, "nonResourceURLs")
        self._nameless = sum(1 << index for index, rule in enumerate(owner) if not rule.get("resourceNames"))
        self._prefixes: dict[str, int] = defaultdict(int)
        for url, rules in self._urls.items():
            if url.endswith(ALL):
                self._prefixes[url.rstrip(ALL)] |= rules
        self._lengths = sorted({len(prefix) for prefix in self._prefixes})

    def uncovered(self, rule: Rule) -> Iterator[Rule]:
        """Yield the atoms of a rule that no rule of the owner covers."""
        verbs = _alike(rule.get("verbs"), self._having(self._verbs))
        names = _alike(rule.get("resourceNames"), lambda name: self._nameless | self._names.get(name, 0))
        groups = _alike(rule.get("apiGroups"), self._having(self._groups))
        resources = _alike(rule.get("resources"), self._having_resource)
        for group, resource, name, verb in self._apart(groups, resources, names or [(self._nameless, [None])], verbs):
            atom: Rule = {"verbs": [verb], "apiGroups": [group], "resources": [resource]}
            yield atom if name is None else {**atom, "resourceNames": [name]}
        for url, verb in self._apart(_alike(rule.get("nonResourceURLs"), self._having_url), verbs):
            yield {"verbs": [verb], "nonResourceURLs": [url]}

    def _apart(self, *parts: list[tuple[int, list[Any]]]) -> Iterator[tuple[Any, ...]]:
        """Yield the combinations of elements, one of each part, that no rule has in common."""
        for combination in product(*parts):
            self._combinations -= 1
            common = -1
            for rules, _ in combination:
                common &= rules
            if not common or self._combinations < 0:
                yield from product(*(elements for _, elements in combination))

    @staticmethod
    def _having(bits: Mapping[str, int]) -> Callable[[str], int]:
        everything = bits.get(ALL, 0)
        return lambda element: everything | bits.get(element, 0)

    def _having_resource(self, resource: str) -> int:
        rules = self._resources.get(ALL, 0) | self._resources.get(resource, 0)
        _, slash, subresource = resource.partition("/")
        return rules | self._resources.get(f"*/{subresource}", 0) if slash else rules

    def _having_url(self, url: str) -> int:
        rules = self._urls.get(url, 0)
        for length in self._lengths:
            if length > len(url):
                break
            rules |= self._prefixes.get(url[:length], 0)
        return rules


def _bits(owner: Sequence[Rule], part: str) -> dict[str, int]:
    """Return each element of a part of rules with the rules that have it."""
    bits: dict[str, int] = defaultdict(int)
    for index, rule in enumerate(owner):
        for element in rule.get(part) or ():
            bits[element] |= 1 << index
    return dict(bits)


def _alike(elements: Iterable[str] | None, having: Callable[[str], int]) -> list[tuple[int, list[Any]]]:
    """Return the elements by the owner's rules that have them."""
    groups: dict[int, list[Any]] = {}
    for element in dict.fromkeys(elements or ()):
        groups.setdefault(having(element), []).append(element)
    return list(groups.items())
