"""Upstream's schemas at work: bodies become objects, and patches learn how lists merge.

Built-in kinds are decoded as upstream's Go structs are: unknown fields are dropped (and told of), null means
absent, a value of the wrong type is an error that names the Go field, required scalars get their zero value.

    body.py         bytes → value: JSON, YAML, malformed input, duplicate keys
    definitions.py  upstream's OpenAPI definitions, from the package kubernetes-validate
    compiled.py     a definition compiled to a tree of nodes
    nodes.py        the nodes, which check values in place
    gotypes.py      the names of Go's types that OpenAPI does not tell
    protobuf.py     the few bodies that kubectl since 1.32 sends in no other form
    formats.py      times, quantities, base64
    decode.py       a body → an object that fits its schema; codec.py: what a kind's row has of all this
"""
