"""A web server for long-lived streams: of Kubernetes it knows only how an error looks.

server.py        gunicorn's arbiter with our settings; inprocess.py: one worker without an arbiter
worker.py        serves connections with threads; connections.py: sockets that wait with a deadline; threads.py
watchpump.py     writes the events of all watches, in one thread
tls.py           certificates, renewed while the server runs
"""
