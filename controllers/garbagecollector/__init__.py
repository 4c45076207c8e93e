"""The garbage collector: deletes objects whose owners are gone.

- ``garbagecollector.py``: the reconciler, which asks the API server before it deletes.
- ``ownergraph.py``: which object owns which, learned from the watches on all kinds.
"""
