"""The controllers: each compares what objects ask for with what is there, and acts on the difference.

There is a folder for each group of controllers. They import nothing of each other: all stand on ``shared/``, and
``manager/`` runs them in one process.

- ``workloads/``: ReplicationControllers, ReplicaSets and PodDisruptionBudgets
- ``services/``: Endpoints and EndpointSlices
- ``scheduler/``: pods to nodes
- ``nodes/``: nodes that stop reporting, taint eviction, pod garbage collection
- ``namespaces/``: deletion of namespaces, service accounts, root CA, quotas
- ``garbagecollector/``: owners and dependents
- ``certificates/``: certificate signing requests

Read first ``workloads/replicationcontroller.py`` with ``podcontrol.py``: a whole reconciler, with a plan made by pure
functions and the code that carries it out.
"""
