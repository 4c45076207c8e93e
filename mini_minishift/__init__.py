"""What pip installs: the ``mini-minishift`` command, the pytest plugin, and ``mini_minishift.testing.KubeServer``.

Our top-level folders have generic names (``controllers``, ``proxy`` …), which a user's own project may have too. So an
installed mini-Minishift keeps them inside this package, and only processes of our own, started by ``run.py``, ever have
them on their path. Nothing that is imported into a user's process imports one of them.
"""
