"""Custom resources: the kinds that CustomResourceDefinitions add while the server runs.

Each served version of a definition becomes an ordinary row (``model.kind.Kind``), so the verbs, watches, tables,
discovery and OpenAPI treat it as any other. What differs is behind the row's codec and strategy.

    conditions.py    decide the accepted names and conditions of a definition
    rows.py          a definition → its rows
    codec.py         decode, store, show and describe objects; decoding.py: bodies → objects
    strategy.py      what create, update and status updates change and check
    conversion.py    the webhook that converts objects between versions
    columns.py       additionalPrinterColumns; jsonpath.py: the paths in them
    scale.py         the subresource scale, with paths that the definition names
    publishing.py    a version's schema as OpenAPI publishes it

In other rooms, ``crdschema/`` checks definitions, and objects by their schema; ``registry/customkinds.py`` keeps the
rows current; ``control/definitions.py`` writes the conditions, and removes the objects of a deleted definition.
"""
