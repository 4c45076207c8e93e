"""The controller manager: runs the controllers in one process.

- ``rows.py``: the list of all controllers, and the selection by ``--controllers``.
- ``manager.py``: builds the selected controllers, and starts them with their informers.
- ``identities.py``: the service account, and so the rights, that each controller writes with.
"""
