"""Controllers that list the pods behind a Service.

- ``endpoints.py``: writes the Endpoints of a Service.
- ``endpointslice.py``: writes its EndpointSlices, which kube-proxy reads; ``slicepacking.py`` divides the
  endpoints into slices, ``slicewriter.py`` writes them.
- ``endpointslicemirroring.py``: copies Endpoints that were made by hand into EndpointSlices.
- ``serviceendpoints.py``: what the controllers of Endpoints and EndpointSlices have in common.
"""
