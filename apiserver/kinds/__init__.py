"""The rows of the built-in kinds: a file each, a folder where a kind is large (``pods/``, ``services/``).

``rows.py`` lists them, ``registry.py`` finds them by the names that requests use. ``strategies.py``, ``checks.py`` and
``cells.py`` are what rows share; ``subresources/`` has a row for each subresource.
"""
