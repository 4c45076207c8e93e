"""What a CustomResourceDefinition may say: its schemas, defaults, and rules in CEL. Pure functions.

definition.py    checks a whole definition; openapischema.py and structural.py check its schemas
defaults.py      checks default values; values.py, formats.py, uniqueness.py, embedded.py check objects
nodes.py         a structural schema → the nodes that decode an object
celrules.py      x-kubernetes-validations, with celtypes.py, cellibrary.py, celprogram.py, celcheck.py
"""
