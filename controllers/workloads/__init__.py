"""Controllers of the objects that create pods.

- ``replicationcontroller.py``: keeps as many pods as ``spec.replicas`` says; ``replicaset.py``: also for ReplicaSets.
- ``podcontrol.py``: creates, deletes, adopts and releases pods, exactly once each.
- ``podranking.py``: which pods are deleted first if there are too many.
- ``disruption.py``: how many pods a PodDisruptionBudget allows to evict.
"""
