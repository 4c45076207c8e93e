"""The API server: serves the Kubernetes API over HTTP, and keeps the objects in etcd or in memory.

There is a folder for each room. Each imports only from those below it in this list:

- ``serving/``: the web server, with its processes, threads and connections
- ``assembly.py``: builds the application from its parts
- ``features/``: the optional parts, a file each
- ``api/``: the path of a request through authentication, authorization and encoding, and the documents about the API
- ``control/``: loops that write objects which must exist; ``streaming/``: exec, logs and proxy to kubelets and pods
- ``admission/``: plugins that change and refuse requests; ``authorization/``: who may do what
- ``registry/``: the verbs, once for all kinds
- ``customresources/`` and ``kinds/``: what differs from kind to kind, as rows
- ``crdschema/``, ``managedfields/``, ``patch/``, ``schema/``, ``podsecurity/``: decisions made from values alone
- ``storage/``: etcd, memory, and the cache through which objects are read
- ``model/``: the values that all rooms share; ``config.py``: the flags, as one value

Read first ``registry/__init__.py``, then the row of Services (``kinds/services/row.py``).
"""
