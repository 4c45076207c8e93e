"""Controllers of CertificateSigningRequests.

- ``csrapproving.py``, ``csrsigning.py``, ``csrcleaner.py``: approve, sign and remove requests.
- ``signers.py``: what each of Kubernetes' own signers accepts; ``certificateauthority.py``: makes the certificate.
- ``account.py``: the service account that all of them share.
"""
