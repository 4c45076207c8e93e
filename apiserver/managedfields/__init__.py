"""Who owns which field: ``metadata.managedFields``, and server-side apply, which is made of it.

    elements.py     how fields and elements of lists are named
    fieldset.py     sets of fields, in the form in which they are stored: union, difference …
    walks.py        an object, or the difference between two, as sets
    merging.py      a configuration merged into an object; fields taken out of one
    typecheck.py    what does not fit the schema in a configuration
    entries.py      the entries of managedFields, and the sets of their managers
    updating.py     who owns what after an update or an apply
    scale.py        the replicas' owners, as a Scale tells of them
    configuration.py  the body of an apply
    lastapplied.py  what client-side apply left behind
    manager.py      what the verbs call

Nothing here does I/O. Upstream has it in sigs.k8s.io/structured-merge-diff and apimachinery's util/managedfields.
"""

from apiserver.managedfields.configuration import Configuration, read
from apiserver.managedfields.manager import SELF, Writer, apply, created, manager_name, settle, updated
from apiserver.managedfields.scale import to_parent, to_scale

__all__ = [
    "SELF",
    "Configuration",
    "Writer",
    "apply",
    "created",
    "manager_name",
    "read",
    "settle",
    "to_parent",
    "to_scale",
    "updated",
]
