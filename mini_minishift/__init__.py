"""What pip installs: the ``mini-minishift`` command, the pytest plugin, and ``mini_minishift.testing.KubeServer``.

Our top-level folders have generic names (``controllers``, ``proxy`` …), which a user's own project may have too. So in
an installed mini-Minishift they are inside this package, and only processes of our own, which ``run.py`` starts, have
them on their path. A module that is imported into a user's process imports none of them.

- ``testing.py``: KubeServer, the server for tests as an object; ``pytest_plugin.py``: fixtures around it;
  ``manifests.py`` and ``rest.py``: what they need of a client
- ``serve.py``: the process that KubeServer starts; ``cli.py``: the command ``mini-minishift api``
- ``standalone.py``: the server that both run, with ``etcd.py`` and ``interrupts.py``
- ``command.py`` and ``run.py``: start a process that the user's PYTHONPATH does not disturb
"""
