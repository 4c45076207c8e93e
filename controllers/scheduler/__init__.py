"""The scheduler: binds each pod to a node that fits.

- ``scheduler.py``: the queue of pods, the decision for one of them, and the binding.
- ``nodefit.py``: whether a pod fits a node, and how well; ``nodeaffinity.py`` and ``podaffinity.py`` are two of the
  filters.
- ``nodeusage.py``: what the pods of a node use; ``podrequests.py``: what one pod asks for.
- ``preemption.py``: which pods of lower priority must go so that a pod fits.
- ``misfit.py``: the reasons why no node fits, in upstream's words.
"""
