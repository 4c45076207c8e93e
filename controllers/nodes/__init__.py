"""Controllers that look after nodes and the pods on them.

- ``nodelifecycle.py``: a node that is silent becomes unreachable; conditions become taints.
- ``tainteviction.py``: deletes pods that do not tolerate a NoExecute taint of their node.
- ``podgc.py``: deletes pods whose node is gone, and ended pods beyond a threshold.
"""
