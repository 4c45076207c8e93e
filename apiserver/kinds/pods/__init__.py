"""Pods. row.py is the row; the other files are what its strategy calls.

defaults.py        the fields that the server fills in, of pods and pod templates
spec.py            checks of a whole spec; it calls those of containers.py, volumes.py, affinity.py, securitycontext.py
containers.py      checks of a container; env.py and probes.py: those of its larger parts
update.py          checks of a whole pod, and of what may change in one
columns.py         the columns of ``kubectl get pods``; warnings.py: the ``Warning:`` headers
"""
