"""The node agent: runs the pods that the API server binds to this node as Docker containers.

__main__.py   flags and start; agent.py: wires everything together
sync/         a worker for each pod: asks for a plan, carries it out, publishes the status
server/       the HTTPS server: logs, exec, attach, port-forward, statistics
volumes/      what pods mount
node/         the Node object, its lease, and what the machine has
probes/       liveness, readiness and startup probes; lifecycle hooks
pod/          pure: state of a pod → what to do next, and its status
container/    pure: a container of a pod → the configuration that the runtime gets
runtime/      the Docker engine behind the protocols in model/
model/        values and protocols that all of them share
threads/      a pool for calls that block, and timers
"""
