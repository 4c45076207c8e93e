"""Exec, attach and port-forward, over SPDY and WebSocket.

upgrade.py      an HTTP request → a stream in the protocol that the client asks for
channels.py     the five channels of exec and attach, whichever protocol carries them; spdy.py: SPDY's frames
execute.py      exec and attach; session.py: carries bytes between the channels and the process
portforward.py  many connections into a pod over one to the client; podnetwork.py: dials inside a pod's network
"""
