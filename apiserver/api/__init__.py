"""From a request to its answer: what is asked, by whom, and in which form the answer is wanted.

app.py           environ → authentication → authorization → a Call, or a document
resources.py     a Call → the verb → an answer; actions.py: subresources that are actions, such as eviction
body.py          reads the body of a request
rendering.py     an object, a list or an event → bytes; watchstream.py: the lines of a watch
negotiation.py   the forms that a client accepts; tables.py: server-side Tables
nonresource.py   what is not about resources: discovery.py, openapi/, health.py, scrape.py, issuer.py
reviews.py       objects that are answered and not stored; accessreviews.py: those behind ``kubectl auth can-i``
tokenrequest.py  service account tokens
requestlog.py    one line a request, and the request metrics
"""
