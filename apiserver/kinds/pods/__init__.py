"""The row of Pods (``row.py``): defaults, what may change, and the checks of every part of a pod's spec."""
