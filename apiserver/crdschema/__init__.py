"""The schemas of CustomResourceDefinitions: what a definition may say, and what it says about objects. Pure functions.

A version's ``openAPIV3Schema`` must be *structural*: it specifies the type of each field in one place, so that objects
can be pruned (unknown fields are dropped) and defaulted, and their values checked.

definition.py    checks a whole definition; openapischema.py and structural.py check its schemas
defaults.py      checks default values; values.py, formats.py, uniqueness.py, embedded.py check objects
fieldpath.py     paths such as .spec.color; regex.py: patterns, in RE2's syntax
tree.py          a structural schema → the nodes that decode an object
celcheck.py      checks the rules (x-kubernetes-validations) of a definition, and what they cost; celrules.py runs them;
                 celrule.py, celtypes.py, celvalues.py: a rule, a schema and a value as CEL sees them
cel/             the language itself, which knows nothing of definitions
"""
