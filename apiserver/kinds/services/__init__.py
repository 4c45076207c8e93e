"""Services. row.py is the row, which also allocates cluster IPs and node ports (see ``kinds/allocation.py``).

defaults.py      the fields that the server fills in, and carries over from the old Service on an update
validation.py    checks of a Service and of what may change in one; columns.py: the columns of ``kubectl get services``
"""
