"""What several controllers need.

- ``context.py``: the client, informers, event recorders and options that a controller is built with.
- ``descriptor.py``: what a controller declares: its name, rights and watches; ``indexes.py``: indexes of informers.
- ``monitors.py``: watches on all kinds, with ``metadatasource.py`` and ``discovery.py``.
- ``writecache.py``: an informer's cache that includes our own latest writes.
- ``ownership.py``: adopting and releasing dependents; ``podstatus.py``: what controllers write to a pod's status.
- ``parallel.py``: calls made at the same time; ``failures.py``: what an API error means.
"""
