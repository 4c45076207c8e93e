"""The controllers: each compares what objects ask for with what is there, and acts on the difference.

A room for each group of controllers, which import nothing of each other; ``shared/`` is what they stand on and
``manager/`` runs them all in one process:

- ``workloads/``: ReplicationControllers and ReplicaSets
- ``services/``: Endpoints and EndpointSlices
- ``scheduler/``: pods to nodes
- ``nodes/``: silent nodes, taint eviction, pod garbage collection
- ``namespaces/``: deletion of namespaces, service accounts, root CA, quotas
- ``garbagecollector/``: owners and dependents
- ``certificates/``: certificate signing requests

Read first ``workloads/replicationcontroller.py`` with ``podcontrol.py``: a whole reconciler, a pure plan and the code
that carries it out.
"""
