"""Custom resources: kinds that a CustomResourceDefinition brings, while the server runs.

A definition's served versions become ordinary rows (``kind.Kind``), so that the verbs, watches, tables, discovery and
OpenAPI need not know of them. What such a row has beyond built-in ones is a ``CustomVersion``.

    definition.py     what a definition may say; schemas: openapischema.py, structural.py, defaults.py, celrules.py
    conditions.py     names and conditions of a definition, decided
    controller.py     … and written; the removal of a deleted definition's objects
    rows.py           a definition → rows
    served.py         the registry with these rows, kept current
    version.py        decoding and views of stored objects; with nodes.py, the compiled schema
    strategy.py       what create, update and status change and check; with values.py, uniqueness.py, embedded.py
    columns.py        printer columns; with jsonpath.py
    scale.py          the subresource
"""
