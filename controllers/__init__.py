"""The controllers: each compares what objects ask for with what is there, and does something about the difference.

Read first ``replicationcontroller.py`` with ``podcontrol.py`` (a whole reconciler: plan, then act), then
``scheduler.py`` with ``nodefit.py``, ``endpointslice.py`` with ``slicepacking.py``, ``namespace.py``, and
``garbagecollector.py`` with ``ownergraph.py``. ``manager.py`` runs them all over the informers of ``context.py``.
"""
