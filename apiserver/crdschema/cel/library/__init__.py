"""The libraries of Kubernetes' CEL environment, each a list of functions (upstream: apiserver pkg/cel/library)."""

from __future__ import annotations

from apiserver.crdschema.cel.declarations import Function
from apiserver.crdschema.cel.library.addresses import ADDRESSES
from apiserver.crdschema.cel.library.formats import FORMATS
from apiserver.crdschema.cel.library.lists import LISTS
from apiserver.crdschema.cel.library.quantities import QUANTITIES
from apiserver.crdschema.cel.library.regexes import REGEXES
from apiserver.crdschema.cel.library.sets import SETS
from apiserver.crdschema.cel.library.strings import STRINGS
from apiserver.crdschema.cel.library.urls import URLS

LIBRARIES: tuple[list[Function], ...] = (URLS, REGEXES, LISTS, QUANTITIES, STRINGS, SETS, ADDRESSES, FORMATS)
