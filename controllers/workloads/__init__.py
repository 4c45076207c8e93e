"""Controllers of the objects that make pods.

- ``replicationcontroller.py``: as many pods as ``spec.replicas`` asks for; ``replicaset.py``: the same for ReplicaSets.
- ``podcontrol.py``: creates, deletes, adopts and releases pods, exactly once each.
- ``podranking.py``: which of too many pods are deleted first.
"""
