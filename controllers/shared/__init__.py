"""What several controllers stand on.

- ``context.py``: the client, informers, event recorders and options that a controller is built with.
- ``monitors.py``: watches on all kinds, with ``metadatasource.py`` and ``discovery.py``.
- ``writecache.py``: an informer's cache that knows of our own latest writes.
- ``ownership.py``: adopting and releasing dependents; ``taints.py``: which taints a pod tolerates.
- ``parallel.py``: calls made side by side; ``failures.py``: questions about errors.
"""
