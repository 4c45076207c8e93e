"""The scheduler: binds each pod to a node that fits.

- ``scheduler.py``: the queue of pods, the decision for one of them, and the binding.
- ``nodefit.py``: which nodes a pod fits on, and which of them is best; ``podaffinity.py`` is one of the filters.
- ``nodeusage.py``: what the pods of each node use.
- ``preemption.py``: which pods of lower priority must go so that a pod fits.
- ``misfit.py``: the message that says why no node fits.
"""
