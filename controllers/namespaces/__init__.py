"""Controllers that look after a namespace and what every namespace is given.

- ``namespace.py``: empties a namespace that is being deleted.
- ``serviceaccount.py``: the default service account; ``serviceaccounttokens.py``: its tokens in Secrets.
- ``rootca.py``: the config map with the certificate authority of the API server.
- ``resourcequota.py``: counts what is used of the namespace's quotas.
"""
