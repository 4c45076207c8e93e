"""Pod security: which of the Pod Security Standards' levels a pod keeps to, as pure functions.

Upstream: staging/src/k8s.io/pod-security-admission.

    policy.py      labels of a namespace → level and version for each mode
    baseline.py    the checks of the level baseline
    restricted.py  those that restricted adds
    findings.py    what the checks share: their types, and how messages name containers and values
    evaluation.py  which checks belong to a level at a version, and what they find

``apiserver/admission/podsecurity.py`` applies them to requests.
"""
