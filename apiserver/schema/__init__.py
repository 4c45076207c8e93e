"""Upstream's schemas: how bodies become objects, and which lists patches and applies merge.

Built-in kinds are decoded as upstream decodes them into Go structs. Unknown fields are dropped, and reported. Null
means absent. A value of the wrong type is an error that names the Go field. Required scalars get their zero value.

    body.py         bytes → value: JSON, YAML, malformed input, duplicate keys
    definitions.py  upstream's OpenAPI definitions, from the package kubernetes-validate, and metricsdefinitions.py,
                    those of metrics.k8s.io, which the package lacks
    compiled.py     compile a definition to a tree of nodes
    tree.py         the nodes, which check values in place
    gotypes.py      what Go's types say and OpenAPI does not, from gofields.json, which `make gofields` derives
    protobuf.py     objects in protobuf, in their envelope, on
    wire.py         messages ↔ objects, by the numbers in gofields.json, on
    wiretypes.py    what has another form in JSON, such as times, and varint.py: numbers and lengths
    formats.py      times, quantities, base64
    decode.py       a body → an object that fits its schema; codec.py: what a kind's row has of all this
"""
