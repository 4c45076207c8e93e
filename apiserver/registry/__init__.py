"""The verbs, once for all kinds; what differs from kind to kind they ask of its row.

rest.py          create, update, patch, apply, delete; deletion.py decides what a deletion does
reading.py       get and list
views.py         writes of subresources that show their object in another form; apply.py: server-side apply
request.py       a request on its way to a verb; options.py: its query parameters
served.py        the rows of built-in and custom kinds, as of now
"""
