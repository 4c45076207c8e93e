"""The kubelet's HTTPS server, which the API server asks for logs, exec, attach, port-forward and statistics.

server.py       accepts connections, a thread for each; connection.py: TLS without blocking
access.py       who may ask; handler.py: a request → its endpoint; host.py: what the server asks of the agent
stats.py        /stats/summary and /metrics/…
streams/        exec, attach and port-forward; logs/: logs of containers and of the node
"""
