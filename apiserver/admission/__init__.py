"""Admission: plugins that may change a request (``admit``) and refuse it (``validate``).

plugin.py     what every plugin is; a plugin of your own is a subclass of it and a name in ``chain.ORDER``
chain.py      the plugins of a server in upstream's order, without those that are switched off

Every other file is one plugin or a few; that of projects is in ``features/projects.py``.
"""
