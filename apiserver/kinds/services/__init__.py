"""The row of Services (``row.py``): defaults, checks, and the allocation of cluster IPs and node ports."""
