"""Carry out what pod/plan.py decides, and report what came of it.

podstates.py    what is known about each pod, and the changes that its worker has not applied yet
workers.py      one worker at a time for each pod: take in, plan, act, publish
admission.py    takes each new pod in, or rejects it
executor.py     an action of a plan → the part that carries it out:
                volumes.py, imagepuller.py, sandbox.py, containerstart.py, containerstop.py, hooks.py
                storagemeter.py
deps.py         what these parts work with; limiter.py: which work waits for other work
statusmanager.py  writes pod statuses to the API server; metrics.py: the kubelet's own metrics
sources.py      config maps, secrets, services and runtime classes of pods; sourcewatch.py: watches of them
runtimewatch.py follows the runtime's events
"""
