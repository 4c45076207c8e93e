"""The Common Expression Language as Kubernetes v1.32 has it: its types, libraries, costs and messages.

``environment.py`` puts the parts together: ``Environment(variables, fields).compile(text)`` parses (``parser.py``),
finds types (``checker.py``) and checks constants (``literals.py``); the result can be asked for its greatest cost
(``estimates.py``) and for a program that runs it (``program.py``). Nothing here knows of CustomResourceDefinitions;
``celtypes.py``, ``celvalues.py``, ``celcheck.py`` and ``celrules.py`` beside this package do.

Why the language is written here and not taken from a library: two were tried.

- cel-expr-python 0.1.3 (Google's C++ implementation) refuses expressions of more than 32 levels, which ``a + b + …``
  with 33 terms has; its limit cannot be changed from Python. It has no comparisons between int, uint and double in its
  checker, knows objects as protobuf messages only (no lists of lists, no maps of lists, no reserved names), and
  neither estimates costs nor counts them, which is what keeps a rule from stopping the server.
- cel-python (celpy) 0.5 has no type checker, and other words in its errors.

The first is still used for what it is right in: the words about syntax errors, which come from the grammar that it
shares with cel-go (``parser.py``).
"""
