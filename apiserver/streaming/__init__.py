"""Bytes to and from kubelets and pods: log, exec, attach, port-forward and proxy; and what is computed from them.

handlers.py         pods' own subresources: a request → the kubelet's URL → its stream
proxy.py            the proxy subresources: HTTP to a pod, a Service or a node; html.py keeps browsers below their path
targets.py          where a connection leads: pure choices; backend.py opens it
upgrade.py          passes a response on, or an upgrade, after which tunnel.py carries bytes both ways
websockets.py       WebSockets that end here: watches; weblog.py: logs
resourcemetrics.py  what nodes and pods use, asked of the kubelets for kubectl top
"""
