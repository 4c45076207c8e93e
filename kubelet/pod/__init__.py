"""Decisions about one pod. Pure: no I/O, the time is an argument.

state.py        what is known about a pod
admission.py    does this node take the pod at all?
storage.py      does the pod use more of the disk than it may?
plan.py         state → the next actions and when to look again; actions.py: what can be asked for
status.py       state → the status that the API shows; phase.py and conditions.py: its hard parts
"""
