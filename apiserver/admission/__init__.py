"""Admission: plugins that may change a request (``admit``) and refuse it (``validate``), in upstream's order."""

from apiserver.admission.request import AdmissionRequest, Plugin, Reader

CHAIN: tuple[Plugin, ...] = ()

__all__ = ["CHAIN", "AdmissionRequest", "Plugin", "Reader"]
