"""Who may do what: upstream's authorizers in their order, and the roles and bindings that they read.

``authorizer.py`` asks three in turn: the group system:masters, the nodes' authorizer (``node.py``), and RBAC
(``rbac.py``), which finds a user's rules in the stored roles and bindings (``policy.py``) and matches them
(``rules.py``). Nobody ever says no: what none of them allows is refused.

The roles that every cluster has stand in ``defaults.py``; ``keeper.py`` keeps them there. ``impersonation.py`` is
``kubectl --as``, ``reviews.py`` is ``kubectl auth can-i``. That nobody gives away what she has not got, and which
objects a kubelet may write, is for admission (``escalation.py``, ``noderestriction.py``): it knows the objects.
"""
