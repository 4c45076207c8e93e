"""Managed fields (``metadata.managedFields``: which manager owns which fields) and server-side apply.

The idea, in three rules:

- Each entry of managedFields says which fields a manager owns: those that it applied last, or that its updates set.
- An update always wins: the fields that it changes become its manager's, and all others lose them.
- An apply is a *configuration*, the part of an object that its manager wants to decide. It is merged into the live
  object, and what the manager applied before but has now left out is removed, if nobody else owns it. Where the merge
  would change a field that another manager owns, the apply fails with a conflict, unless it is forced.

Which parts of an object can have owners of their own is for the schema to say: structs and maps divide into their
fields, lists only when they are a ``set`` or a ``map``; scalars and everything ``atomic`` have one owner.

    elements.py       path elements: the names of fields and list items in a set
    fieldset.py       sets of fields in the form FieldsV1: union, difference, intersection
    walks.py          an object, or the difference between two objects, as sets
    merging.py        merge a configuration into an object; remove fields from an object
    typecheck.py      check a configuration against the schema
    entries.py        the entries of managedFields ↔ managers and their sets
    updating.py       the owners after an update or an apply; conflicts
    scale.py          the owners of the replicas, in the managedFields of a Scale
    configuration.py  read the body of an apply
    lastapplied.py    the annotation of client-side apply
    manager.py        what the verbs call

The verbs use this package, as a module, through the Protocol ``registry.fieldmanager.FieldManager``: a server can do
without it. Nothing here does I/O. Upstream: sigs.k8s.io/structured-merge-diff and apimachinery/pkg/util/managedfields.
"""

from apiserver.managedfields.configuration import read
from apiserver.managedfields.manager import apply, created, settle, updated
from apiserver.managedfields.scale import to_parent, to_scale

__all__ = ["apply", "created", "read", "settle", "to_parent", "to_scale", "updated"]
