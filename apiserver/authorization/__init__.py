"""Who may do what: upstream's authorizers in their order, and the roles and bindings that they read.

``authorizer.py`` asks three in turn: the group system:masters, the nodes' authorizer (``node.py``), and RBAC
(``rbac.py``), which finds a user's rules in the stored roles and bindings (``policy.py``) and matches them
(``rules.py``). No authorizer forbids anything: a request is refused when none of them allows it.

``everybody.py`` is the authorizer of a server without the feature ``accesscontrol``: every authenticated user may do
everything.

The roles that every cluster has stand in ``defaults.py``; ``control/policykeeper.py`` writes them. ``authn.py`` and
``tokens.py`` say who the user is, ``impersonation.py`` serves ``kubectl --as``, ``api/accessreviews.py`` answers
``kubectl auth can-i``. Rules that depend on the object itself are admission's (``escalation.py``: nobody grants rights
that she does not have; ``noderestriction.py``: which objects a kubelet may write).
"""
