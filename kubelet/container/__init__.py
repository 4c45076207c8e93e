"""From a container in a pod's spec to what the runtime is told. Pure.

config.py       the whole configuration of a container or sandbox
env.py          its environment; fieldref.py: values of the downward API
limits.py       processor and memory; security.py: users, capabilities, seccomp
"""
