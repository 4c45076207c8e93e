"""Probes and lifecycle hooks.

prober.py       asks running containers periodically and reports changes
handlers.py     one call: exec, HTTP, TCP or gRPC, for probes and hooks
"""
