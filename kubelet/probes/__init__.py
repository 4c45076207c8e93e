"""Probes and lifecycle hooks.

prober.py       asks running containers in their rhythm and reports changes
handlers.py     one call: exec, HTTP, TCP or gRPC; hooks.py: the same for postStart and preStop
"""
