"""The verbs, once for all kinds; what differs from kind to kind they ask of its row.

call.py              one resource request, once its path is parsed and its user is known
writerequest.py      what all writing verbs are told: kind, namespace, name, user …
admissionrequest.py  what admission is asked about a write
rest.py              the writing verbs: a line each, and the order in which to read the rest
create.py            POST
update.py            PUT and PATCH; apply.py: server-side apply; scale.py: writes of a subresource in another form
storing.py           what create and update have in common
delete.py            DELETE; deletion.py decides what a deletion does
optimistic.py        why a write may begin with an object of the cache, and when it is tried again
allocation.py        what a write takes besides: addresses and ports that no other object may have
backend.py           what all of them work with: store, cache, admission, managed fields
fieldmanager.py      what they ask of managed fields
read.py              get and list; listoptions.py, continuetoken.py: their parameters
options.py           the query of a write
reader.py            objects of the cache, for admission and authorization
served.py            the rows that are served now; customkinds.py: with those of CustomResourceDefinitions
"""
