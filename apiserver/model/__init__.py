"""The words that all rooms of the API server share. They stand on ``machinery`` alone, and do no I/O.

kind.py          a kind is a row, and so is a subresource; actions.py: what the action of one may do
item.py          an object of the store at one revision, and a change from one to the next
checks.py        checks of fields that many kinds share, each with upstream's message
metadata.py      the metadata that all objects have: set, restored and checked
user.py          in whose name a request is made; requestinfo.py: what it asks for; query.py: its parameters
attributes.py    what an authorizer is asked about a request, and the 403 if it says no
reader.py        how plugins read other objects
trace.py         what a request has spent its time on; metrics.py: what ``/metrics`` shows
printing.py      ages in columns; patchtypes.py: the media types of a PATCH
fieldmanager.py  who writes which fields of an object, and what is applied to it
exchange.py      what the web server and the application tell each other about a request beyond WSGI
"""
