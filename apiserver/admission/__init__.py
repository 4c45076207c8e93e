"""Admission: plugins that may change a request (``admit``) and refuse it (``validate``), in upstream's order."""
