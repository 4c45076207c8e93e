"""The controller manager: runs the controllers in one process.

- ``manager.py``: builds the controllers that were selected, starts their informers and them.
- ``identities.py``: the service account, and so the rights, that each controller writes with.
"""
