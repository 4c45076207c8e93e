"""What all components stand on. Nothing here imports anything of ours from outside this folder.

Reconcilers: the loop that controllers, kubelet and proxy share. Read it in this order.
    workqueue.py          keys of objects to look at, one worker for each, with backoff
    informer.py           a local copy of one kind's objects, and its changes
    controller.py         events → keys → reconcile(key), and the one retry policy
    expectations.py       what a controller has created and its informer does not show yet
    events.py             records Events, aggregated and limited

The API's client
    client.py             one method for each verb, and watch
    errors.py             the exceptions that are Status objects on the wire; the tree of them
    kubeconfig.py         read, merge and write kubeconfig files
    resources.py          the resources that components use, and their URL paths

Objects, which are plain dicts
    objects.py            keys, owners, conditions, times
    pods.py               what several components ask about a pod
    podrequests.py        what a pod needs of its node; nodeaffinity.py and taints.py: which nodes it accepts
    budgets.py            the condition of a PodDisruptionBudget
    selectors.py          label and field selectors
    validation.py         upstream's rules for names and values
    quantity.py           500m, 1.5Gi; resourcelists.py calculates with lists of them; quota.py: what an object uses
    policyrules.py        RBAC rules in a short form
    pemcertificates.py    certificates and requests

Processes
    flags.py              the command line of every component
    component.py          logging, signals, /healthz and /metrics of every component
    stopping.py           one stop event ends many blocking calls
    metrics.py            Prometheus metrics over several processes; queuemetrics.py and processmetrics.py use it
    proc.py               what the kernel knows of a process
    websocket.py          the server's end of a WebSocket; sockets.py: what a peer has not taken yet
    version.py            the version that --version prints
    extras.py             what to say when an optional dependency is missing

``pyproject.toml`` has a contract that says which file may import which.
"""
