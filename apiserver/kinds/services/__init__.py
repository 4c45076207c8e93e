"""Services. row.py is the row; the other files are what its strategy calls.

defaults.py      the fields that the server fills in, and carries over from the old Service on an update
validation.py    checks of a Service and of what may change in one; columns.py: the columns of ``kubectl get services``
allocation.py    chooses cluster IPs and node ports, so that each belongs to one Service at a time
"""
