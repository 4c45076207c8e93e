"""Bytes to and from kubelets and pods: log, exec, attach, port-forward and proxy.

handlers.py      a request for a stream → the kubelet's URL; targets.py: where a proxied request leads
backend.py       connections to kubelets and pods; relay.py and tunnel.py carry the bytes
proxy.py         HTTP through the API server; html.py rewrites links
websockets.py    framing for browsers; logs.py: a log over WebSocket
usage.py         kubectl top; computed.py: kinds whose objects are worked out for each request
"""
