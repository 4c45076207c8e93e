"""Controllers of nodes and of the pods on them.

- ``nodelifecycle.py``: finds nodes that have stopped reporting, and turns conditions into taints.
- ``tainteviction.py``: deletes pods that do not tolerate a NoExecute taint of their node.
- ``podgc.py``: deletes pods whose node is gone, and ended pods beyond a threshold.
"""
