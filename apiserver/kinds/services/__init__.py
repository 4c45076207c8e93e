"""Services. row.py is the row; the other files are what its strategy calls.

defaults.py      the fields that the server fills in, and carries over from the old Service on an update
validation.py    checks of a Service and of what may change in one; columns.py: the columns of ``kubectl get services``
allocation.py    gives a Service its cluster IP and node ports; ranges.py: which there are, and which is chosen
"""
