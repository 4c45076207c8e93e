"""The node itself.

registration.py the Node object and its lease; machine.py: what the machine has; cgroups.py: what containers use
"""
