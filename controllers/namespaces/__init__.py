"""Controllers of namespaces, and of what every namespace is given.

- ``namespace.py``: empties a namespace that is being deleted.
- ``serviceaccount.py``: creates the default service account; ``serviceaccounttokens.py``: its tokens in Secrets.
- ``rootca.py``: publishes the API server's certificate authority as a ConfigMap.
- ``resourcequota.py``: counts what the namespace's quotas limit.
"""
