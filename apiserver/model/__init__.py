"""Words that all rooms of the API server share. They stand on ``machinery`` alone, and do no I/O.

kind.py          a kind is a row; subresource.py: so is a subresource
item.py          an object of the store at one revision, and a change from one to the next
metadata.py      what all objects have in common
requestinfo.py   a path → what is asked for; attributes.py: what the authorizers are asked about it
query.py         query parameters, as Go reads them
metrics.py       what the server counts
"""
