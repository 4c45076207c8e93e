"""Carries out what pod/plan.py decides, and reports what came of it.

podstates.py    what is known about each pod, and what its worker has not taken in yet
workers.py      one worker at a time for each pod: take in, plan, act, publish
executor.py     an action → the part that carries it out:
                volumes.py, imagepuller.py, sandbox.py (with hairpin.py), containerstart.py,
                containerstop.py (signals.py)
statusmanager.py  writes pod statuses to the API server; events.py: events on pods; metrics.py: /metrics
deps.py         what the parts above work with; limiter.py: which work gives way to other work
sources.py      config maps, secrets and services of pods; sourcewatch.py: watches of them
runtimewatch.py follows the runtime's events
"""
