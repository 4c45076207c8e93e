"""A web server for long-lived streams: of Kubernetes it knows only how an error looks (a Status).

server.py        processes: a master with its workers, or one process that is a worker; flags → sockets and TLS
worker.py        one process: a main loop that waits for clients, threads that serve them. Read this first.
threads.py       the pool of those threads; scoreboard.py: what workers know of each other
connection.py    a connection until the head of a request is there; sockets.py: sockets that give up on slow clients
http.py          a request and its response, between a connection and the WSGI application
plain.py         requests of the plainest form, parsed in a tenth of the time
watchpump.py     one thread that writes the events of all watches
tls.py           certificates, read again when they are renewed

Why an own server. Three properties decide here, and together no WSGI server on threads has them: an open watch costs
no thread; an application may take the socket over (exec, port-forward); and neither silent nor slow clients hold a
thread. This was first made of gunicorn's gthread worker, by overriding about 25 of its undocumented names, which
tied users to one major version of it and could be understood only with gunicorn's source beside. What is used of an
HTTP server beyond these properties is little: to fork, to accept, to parse and to write a head. Parsing, where mistakes
are dangerous, is left to h11, through its public API, for all requests that are not of the plainest form.
"""
